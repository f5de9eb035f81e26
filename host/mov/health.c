/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mov/health.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"

#define FILE_MAX (16u << 20) /* of what an earlier run left */

struct health {
    struct log *log;
    char *path, *ledger, *lock;
    int lock_fd;
    char *shown;      /* NULL: no file */
    char **shown_ids; /* that the next run finds in it */
    size_t shown_count;
    char **ids; /* to be found by the next run */
    size_t id_count;
    char *kept;         /* the ledger's text; NULL: no ledger */
    const char *failed; /* the path that could not be written: said, and not again until it can */
};

struct health *health_new(const char *directory, const char *file_name, struct log *log)
{
    struct health *health = memory_new(sizeof *health);
    health->log = log;
    health->path = file_name[0] == '/' ? memory_text(file_name) : memory_format("%s/%s", directory, file_name);
    health->ledger = memory_format("%s.ids", health->path);
    health->lock = memory_format("%s.lock", health->path);
    health->lock_fd = -1;
    return health;
}

/* Whoever ends removes the file: what was opened may be no file of that name any more. */
static bool is_still_there(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

bool health_lock(struct health *health, struct fault *fault)
{
    for (;;) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(health->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
            return true; /* a disk that is full or read-only: said when the files themselves cannot be written */
        bool locked = fcntl(fd, F_SETLK, &lock) == 0;
        if (!locked && (errno == EACCES || errno == EAGAIN)) {
            bool known = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0;
            char who[32] = "";
            if (known)
                snprintf(who, sizeof who, " (process %d)", (int)lock.l_pid);
            close(fd);
            return fault_set(fault, "%s: another valawai-host%s has its health file there; give each its own LOG_DIR",
                             health->path, who);
        }
        if (!locked || is_still_there(fd, health->lock)) {
            health->lock_fd = fd;
            return true;
        }
        close(fd);
    }
}

bool is_component_id(const char *text, size_t len)
{
    return len == COMPONENT_ID_LEN && strspn(text, "0123456789abcdefABCDEF") == len;
}

/* A renamed file may be lost in a power cut, or worse, be there and empty, unless both it and its directory are told to
 * reach the disk. */
static bool reach_disk(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL || errno == EROFS; /* not every file system can */
}

static void directory_reaches_disk(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = memory_format("%.*s", slash == NULL ? 0 : (int)(slash - path + 1), path);
    int fd = open(directory[0] == '\0' ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(directory);
}

static bool write_beside(const char *path, const char *text)
{
    char *beside = memory_format("%s.new", path);
    size_t len = strlen(text), written = 0;
    bool done = false;
    unlink(beside); /* a link that somebody put there is not followed */
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        goto out;
    fchmod(fd, 0644); /* whatever the umask: the health check may be somebody else's */
    while (written < len) {
        ssize_t some = write(fd, text + written, len - written);
        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            break;
        written += (size_t)some;
    }
    done = written == len && reach_disk(fd);
    int error = errno;
    if (close(fd) != 0 && done) {
        error = errno;
        done = false;
    }
    if (done && rename(beside, path) != 0) {
        error = errno;
        done = false;
    }
    if (done) {
        directory_reaches_disk(path);
    } else {
        unlink(beside);
        errno = error;
    }
out:
    free(beside);
    return done;
}

/* True if the text stands in the file, or the file is gone (NULL). */
static bool put(struct health *health, const char *path, const char *text)
{
    bool absent = text == NULL && (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR);
    bool done = absent || (text != NULL && write_beside(path, text));
    if (!done && health->failed == NULL) {
        log_error(health->log, "host", "%s: cannot %s it: %s; going on without", path,
                  text == NULL ? "remove" : "write", strerror(errno));
        health->failed = path;
    } else if (done && text != NULL && health->failed == path) {
        health->failed = NULL;
    }
    return done;
}

static char *file_text(const char *path)
{
    struct text text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    char block[4096];
    ssize_t got;
    while ((got = read(fd, block, sizeof block)) > 0 && text.len < FILE_MAX)
        text_put(&text, block, (size_t)got);
    close(fd);
    return text.at;
}

static void take_id(struct json_object *item, char ***ids, size_t *count)
{
    struct json_object *id = item;
    if (json_object_is_type(item, json_type_object) && !json_object_object_get_ex(item, "id", &id))
        return;
    const char *text = json_object_get_string(id);
    if (!json_object_is_type(id, json_type_string) || !is_component_id(text, (size_t)json_object_get_string_len(id)))
        return;
    for (size_t i = 0; i < *count; i++)
        if (strcmp((*ids)[i], text) == 0)
            return;
    *ids = memory_resize(*ids, (*count + 1) * sizeof **ids);
    (*ids)[(*count)++] = memory_text(text);
}

/* One notification, an array of them, or an array of ids. Whatever else stands there is not ours. text may be NULL. */
static void take_ids(const char *text, char ***ids, size_t *count)
{
    struct json_tokener *reader = json_reader_new();
    bool readable = text != NULL && json_is_value(text, strlen(text), NULL);
    struct json_object *content = readable ? json_read(reader, text, strlen(text)) : NULL;
    if (json_object_is_type(content, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(content); i++)
            take_id(json_object_array_get_idx(content, i), ids, count);
    } else if (json_object_is_type(content, json_type_object)) {
        take_id(content, ids, count);
    }
    json_object_put(content);
    json_tokener_free(reader);
}

static void take_ids_of_file(const char *path, char ***ids, size_t *count)
{
    char *text = file_text(path);
    take_ids(text, ids, count);
    free(text);
}

static void free_ids(char **ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(ids[i]);
    free(ids);
}

char **health_left_behind(struct health *health, size_t *count)
{
    char **ids = NULL;
    *count = 0;
    take_ids_of_file(health->ledger, &ids, count);
    size_t in_ledger = *count;
    take_ids_of_file(health->path, &ids, count);
    health->kept = memory_text(""); /* whatever stood there, what is kept now is to be written, or the file removed */
    health_keep_ids(health, ids, *count);
    /* Where there is no room for a ledger, the health file becomes it, unless that would cost what the ledger has. */
    bool kept = *count == 0 || health->kept[0] != '\0' || in_ledger > 0;
    if (kept || rename(health->path, health->ledger) != 0)
        put(health, health->path, NULL);
    return ids;
}

/* True if the next run would find the id in the health file. */
static bool is_shown(const struct health *health, const char *id)
{
    for (size_t i = 0; i < health->shown_count; i++)
        if (strcmp(health->shown_ids[i], id) == 0)
            return true;
    return false;
}

/* Keeps the ledger while the health file does not tell every id. */
static void update_ledger(struct health *health)
{
    struct text text = {0};
    bool needed = false;
    text_puts(&text, "[");
    for (size_t i = 0; i < health->id_count; i++) {
        needed = needed || !is_shown(health, health->ids[i]);
        text_puts(&text, i == 0 ? "" : ",");
        text_put_json(&text, health->ids[i], strlen(health->ids[i]));
    }
    text_puts(&text, "]\n");
    const char *wanted = needed ? text.at : NULL;
    bool same = wanted == NULL ? health->kept == NULL : health->kept != NULL && strcmp(wanted, health->kept) == 0;
    if (!same && put(health, health->ledger, wanted)) {
        free(health->kept);
        health->kept = memory_text(wanted);
    }
    text_free(&text);
}

static void set_shown(struct health *health, const char *text)
{
    char *old = health->shown;
    health->shown = memory_text(text);
    free(old);
    free_ids(health->shown_ids, health->shown_count);
    health->shown_ids = NULL;
    health->shown_count = 0;
    take_ids(health->shown, &health->shown_ids, &health->shown_count);
}

/* The health file tells every id when there is no ledger: then it can be the ledger by another name. That takes no time
 * and no room, however slow or full the disk is. */
static bool become_ledger(struct health *health)
{
    if (health->kept != NULL || health->id_count == 0 || rename(health->path, health->ledger) != 0)
        return false;
    health->kept = memory_text(health->shown);
    return true;
}

void health_show(struct health *health, const char *text)
{
    bool same = text == NULL ? health->shown == NULL : health->shown != NULL && strcmp(text, health->shown) == 0;
    if (same)
        return;
    if (text == NULL) { /* the ledger comes first: at no time is an id in neither */
        bool done = become_ledger(health);
        set_shown(health, NULL);
        if (!done) {
            update_ledger(health);
            put(health, health->path, NULL);
        }
    } else if (put(health, health->path, text)) {
        set_shown(health, text);
        update_ledger(health);
    }
}

void health_keep_ids(struct health *health, char *const *ids, size_t count)
{
    char **kept = memory_new((count + 1) * sizeof *kept);
    for (size_t i = 0; i < count; i++)
        kept[i] = memory_text(ids[i]);
    free_ids(health->ids, health->id_count);
    health->ids = kept;
    health->id_count = count;
    update_ledger(health);
}

void health_free(struct health *health)
{
    if (health == NULL)
        return;
    free_ids(health->ids, health->id_count);
    free_ids(health->shown_ids, health->shown_count);
    free(health->path);
    free(health->ledger);
    if (health->lock_fd >= 0) {
        unlink(health->lock);
        close(health->lock_fd);
    }
    free(health->lock);
    free(health->shown);
    free(health->kept);
    free(health);
}
