/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mov/files.h"

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

#define FILE_MAX (16u << 20) /* bytes of a file of an earlier run */

struct files {
    struct log *log;
    char *path, *ledger, *lock;
    int lock_fd;
    char *wanted;               /* text for the health file; NULL: no file */
    char *shown;                /* text in the health file, unless the disk was full */
    bool stays;                 /* the file could not be removed */
    struct legacy shown_legacy; /* that the next run finds in the health file */
    struct legacy legacy;       /* that the next run must find */
    char *kept;                 /* the ledger's text; NULL: no ledger */
    const char *failed;         /* the path that cannot be written: reported, and not again until a write succeeds */
};

/* ---- registrations that remain at the MOV ---- */

static void add(char ***texts, size_t *count, const char *text)
{
    *texts = memory_resize(*texts, (*count + 1) * sizeof **texts);
    (*texts)[(*count)++] = memory_text(text);
}

void legacy_add_id(struct legacy *legacy, const char *id)
{
    for (size_t i = 0; i < legacy->id_count; i++)
        if (strcmp(legacy->ids[i], id) == 0)
            return;
    add(&legacy->ids, &legacy->id_count, id);
}

void legacy_add_pending(struct legacy *legacy, const char *name)
{
    add(&legacy->pending, &legacy->pending_count, name);
}

void legacy_free(struct legacy *legacy)
{
    for (size_t i = 0; i < legacy->id_count; i++)
        free(legacy->ids[i]);
    for (size_t i = 0; i < legacy->pending_count; i++)
        free(legacy->pending[i]);
    free(legacy->ids);
    free(legacy->pending);
    *legacy = (struct legacy){0};
}

/* ---- the files ---- */

static char *path_of(const char *directory, const char *file_name)
{
    return file_name[0] == '/' ? memory_text(file_name) : memory_format("%s/%s", directory, file_name);
}

struct files *files_new(const char *directory, const char *file_name, struct log *log)
{
    struct files *files = memory_new(sizeof *files);
    files->log = log;
    files->path = path_of(directory, file_name);
    files->ledger = memory_format("%s.ids", files->path);
    files->lock = memory_format("%s.lock", files->path);
    files->lock_fd = -1;
    return files;
}

/* A process that ends removes its lock file, so the open file may have lost its name. */
static bool is_still_there(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

static bool is_link(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
}

bool files_lock(struct files *files, struct fault *fault)
{
    for (;;) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(files->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0 && errno == ELOOP && is_link(files->lock))
            return fault_set(fault, "%s: the lock file is a symbolic link; remove it", files->lock);
        if (fd < 0)
            return true; /* a full or read-only disk is reported when the files themselves cannot be written */
        bool locked = fcntl(fd, F_SETLK, &lock) == 0;
        if (!locked && (errno == EACCES || errno == EAGAIN)) {
            bool known = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0;
            char who[32] = "";
            if (known)
                snprintf(who, sizeof who, " (process %d)", (int)lock.l_pid);
            close(fd);
            return fault_set(fault, "%s: another valawai-host%s uses this health file; give each its own LOG_DIR",
                             files->path, who);
        }
        if (!locked || is_still_there(fd, files->lock)) {
            files->lock_fd = fd;
            return true;
        }
        close(fd);
    }
}

int files_owner(const char *directory, const char *file_name)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *path = path_of(directory, file_name), *lock_path = memory_format("%s.lock", path);
    int fd = open(lock_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool locked = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0)
        close(fd);
    free(lock_path);
    free(path);
    return !locked ? 0 : lock.l_pid > 0 ? (int)lock.l_pid : -1;
}

bool is_component_id(const char *text, size_t len)
{
    return len == COMPONENT_ID_LEN && strspn(text, "0123456789abcdefABCDEF") == len;
}

/* After a power cut a renamed file may be missing, or worse, empty, unless it and its directory were flushed to the
 * disk. */
static bool reach_disk(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL || errno == EROFS; /* not every file system supports this */
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

/* The directory of that file, and those above it. */
static bool make_directory(const char *path)
{
    char *copy = memory_text(path);
    bool made = true;
    for (char *at = strchr(copy + 1, '/'); made && at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        made = mkdir(copy, 0777) == 0 || errno == EEXIST;
        *at = '/';
    }
    free(copy);
    return made;
}

static bool write_beside(const char *path, const char *text)
{
    char *beside = memory_format("%s.new", path);
    size_t len = strlen(text), written = 0;
    bool done = false;
    unlink(beside); /* a symbolic link is not followed */
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == ENOENT && make_directory(path)) /* removed while the host runs */
        fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        goto out;
    fchmod(fd, 0644); /* independent of the umask: the health check may run as another user */
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

/* True if the file contains the text, or does not exist (NULL). */
static bool put(struct files *files, const char *path, const char *text)
{
    bool absent = text == NULL && (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR);
    bool done = absent || (text != NULL && write_beside(path, text));
    if (!done && files->failed == NULL) {
        log_error(files->log, "host", "%s: cannot %s it: %s; continuing without it", path,
                  text == NULL ? "remove" : "write", strerror(errno));
        files->failed = path;
    } else if (done && text != NULL && files->failed == path) {
        files->failed = NULL;
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

/* A notification, an id, or a registration without an answer. Anything else is ignored. */
static void take_item(struct json_object *item, struct legacy *legacy)
{
    struct json_object *id = item, *pending = NULL;
    if (json_object_is_type(item, json_type_object) && !json_object_object_get_ex(item, "id", &id)) {
        if (json_object_object_get_ex(item, "pending", &pending) && json_object_is_type(pending, json_type_string))
            legacy_add_pending(legacy, json_object_get_string(pending));
        return;
    }
    if (json_object_is_type(id, json_type_string) &&
        is_component_id(json_object_get_string(id), (size_t)json_object_get_string_len(id)))
        legacy_add_id(legacy, json_object_get_string(id));
}

/* One notification, or an array of items. text may be NULL. */
static void take_items(const char *text, struct legacy *legacy)
{
    struct json_tokener *reader = json_reader_new();
    bool readable = text != NULL && json_is_value(text, strlen(text), NULL);
    struct json_object *content = readable ? json_read(reader, text, strlen(text)) : NULL;
    if (json_object_is_type(content, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(content); i++)
            take_item(json_object_array_get_idx(content, i), legacy);
    } else if (json_object_is_type(content, json_type_object)) {
        take_item(content, legacy);
    }
    json_object_put(content);
    json_tokener_free(reader);
}

static void take_items_of_file(const char *path, struct legacy *legacy)
{
    char *text = file_text(path);
    take_items(text, legacy);
    free(text);
}

static struct legacy legacy_copy(const struct legacy *legacy)
{
    struct legacy copy = {0};
    for (size_t i = 0; i < legacy->id_count; i++)
        legacy_add_id(&copy, legacy->ids[i]);
    for (size_t i = 0; i < legacy->pending_count; i++)
        legacy_add_pending(&copy, legacy->pending[i]);
    return copy;
}

struct legacy files_left_behind(struct files *files)
{
    struct legacy left = {0};
    take_items_of_file(files->ledger, &left);
    bool in_ledger = left.id_count > 0;
    take_items_of_file(files->path, &left);
    free(files->kept);
    files->kept = memory_text(""); /* forces the ledger to be written again, or removed */
    files_keep(files, legacy_copy(&left));
    /* If there is no room for a ledger, the health file becomes the ledger, unless this would lose the contents of the
     * ledger. */
    bool kept = left.id_count == 0 || files->kept == NULL || files->kept[0] != '\0' || in_ledger;
    if (kept || rename(files->path, files->ledger) != 0)
        put(files, files->path, NULL);
    return left;
}

/* True if the next run would find the id in the health file. */
static bool is_shown(const struct files *files, const char *id)
{
    for (size_t i = 0; i < files->shown_legacy.id_count; i++)
        if (strcmp(files->shown_legacy.ids[i], id) == 0)
            return true;
    return false;
}

/* The text for the ledger; NULL: none is needed. */
static char *ledger_text(const struct files *files)
{
    const struct legacy *legacy = &files->legacy;
    struct text text = {0};
    bool needed = legacy->pending_count > 0;
    const char *comma = "";
    text_puts(&text, "[");
    for (size_t i = 0; i < legacy->id_count; i++, comma = ",") {
        needed = needed || !is_shown(files, legacy->ids[i]);
        text_puts(&text, comma);
        text_put_json(&text, legacy->ids[i], strlen(legacy->ids[i]));
    }
    for (size_t i = 0; i < legacy->pending_count; i++, comma = ",") {
        text_printf(&text, "%s{\"pending\":", comma);
        text_put_json(&text, legacy->pending[i], strlen(legacy->pending[i]));
        text_puts(&text, "}");
    }
    text_puts(&text, "]\n");
    if (needed)
        return text.at;
    text_free(&text);
    return NULL;
}

static bool same(const char *one, const char *other)
{
    return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

static void update_ledger(struct files *files)
{
    char *wanted = ledger_text(files);
    if (!same(wanted, files->kept) && put(files, files->ledger, wanted)) {
        free(files->kept);
        files->kept = wanted;
        wanted = NULL;
    }
    free(wanted);
}

static void set_shown(struct files *files, const char *text)
{
    char *old = files->shown;
    files->shown = memory_text(text);
    free(old);
    legacy_free(&files->shown_legacy);
    take_items(files->shown, &files->shown_legacy);
}

/* When there is no ledger, the health file contains every id, so it can be renamed to the ledger. This needs no time
 * and no room, even on a slow or full disk. */
static bool become_ledger(struct files *files)
{
    if (files->kept != NULL || files->legacy.id_count == 0 || rename(files->path, files->ledger) != 0)
        return false;
    files->kept = memory_text(files->shown);
    return true;
}

static void show_wanted(struct files *files)
{
    const char *text = files->wanted;
    if (same(text, files->shown) && !files->stays)
        return;
    if (text == NULL) { /* the ledger is written first, so an id is always in one of the two */
        bool done = become_ledger(files);
        set_shown(files, NULL);
        if (!done) {
            update_ledger(files);
            files->stays = !put(files, files->path, NULL);
        }
    } else if (put(files, files->path, text)) {
        set_shown(files, text);
        files->stays = false;
        update_ledger(files);
    }
}

void files_show(struct files *files, const char *text)
{
    char *old = files->wanted;
    files->wanted = memory_text(text);
    free(old);
    show_wanted(files);
}

void files_keep(struct files *files, struct legacy legacy)
{
    legacy_free(&files->legacy);
    files->legacy = legacy;
    update_ledger(files);
}

static void restore(struct files *files, const char *path, const char *text)
{
    if (text != NULL && access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR) && put(files, path, text))
        log_warning(files->log, "host", "%s: was removed; writing it again", path);
}

void files_restore(struct files *files)
{
    show_wanted(files);
    update_ledger(files);
    restore(files, files->path, files->shown);
    restore(files, files->ledger, files->kept);
}

void files_remove(const struct files *files)
{
    const char *const paths[] = {files->path, files->ledger};
    unlink(files->lock);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char *beside = memory_format("%s.new", paths[i]);
        unlink(paths[i]);
        unlink(beside);
        free(beside);
    }
}

void files_free(struct files *files)
{
    if (files == NULL)
        return;
    legacy_free(&files->legacy);
    legacy_free(&files->shown_legacy);
    if (files->lock_fd >= 0) {
        unlink(files->lock);
        close(files->lock_fd);
    }
    free(files->path);
    free(files->ledger);
    free(files->lock);
    free(files->wanted);
    free(files->shown);
    free(files->kept);
    free(files);
}
