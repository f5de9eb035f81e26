/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "http/ask.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/backoff.h"
#include "http/door.h"

#define PATIENCE_S 5
#define REPLY_MAX ((size_t)16 << 20) /* bytes */

static bool send_request(int fd, const char *method, const char *path)
{
    struct text request = {0};
    /* 1.0: the connection ends with the reply, which comes in one piece. */
    text_printf(&request, "%s %s HTTP/1.0\r\nHost: localhost\r\n\r\n", method, path);
    bool sent = send(fd, request.at, request.len, MSG_NOSIGNAL) == (ssize_t)request.len;
    text_free(&request);
    return sent;
}

static bool read_reply(int fd, struct text *reply, struct fault *fault)
{
    int64_t until = clock_ms() + (int64_t)PATIENCE_S * 1000;
    char block[16384];
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got == 0)
            return true;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno != EAGAIN)
            return fault_set(fault, "%s", strerror(errno));
        if (got < 0 || clock_ms() > until)
            return fault_set(fault, "no reply within %d s", PATIENCE_S);
        if (reply->len + (size_t)got > REPLY_MAX)
            return fault_set(fault, "the reply is too long");
        text_put(reply, block, (size_t)got);
    }
}

/* Appends what follows the headers of a reply with status 200 or 202. */
static bool take_body(const struct text *reply, struct text *body, struct fault *fault)
{
    const char *end = reply->len == 0 ? NULL : strstr(reply->at, "\r\n\r\n");
    const char *space = reply->len == 0 ? NULL : strchr(reply->at, ' ');
    if (end == NULL || space == NULL || strncmp(reply->at, "HTTP/1.", 7) != 0)
        return fault_set(fault, "the reply is no HTTP");
    if (strncmp(space, " 200 ", 5) != 0 && strncmp(space, " 202 ", 5) != 0)
        return fault_set(fault, "status %.3s", space + 1);
    end += strlen("\r\n\r\n");
    text_put(body, end, reply->len - (size_t)(end - reply->at));
    return true;
}

enum answer http_ask(const char *directory, const char *method, const char *path, struct text *body,
                     struct fault *fault)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct text reply = {0};
    int fd = door_connect(directory, fault);
    if (fd < 0)
        return errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR ? ANSWER_NO_HOST : ANSWER_FAILED;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    bool good = send_request(fd, method, path) || fault_set(fault, "%s", strerror(errno));
    good = good && read_reply(fd, &reply, fault) && take_body(&reply, body, fault);
    if (!good)
        fault_prefix(fault, "%s/%s", directory, CONTROL_SOCKET);
    text_free(&reply);
    close(fd);
    return good ? ANSWER_GOT : ANSWER_FAILED;
}
