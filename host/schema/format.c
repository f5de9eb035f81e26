/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The formats that the host checks, each by the grammar of its RFC. */
#include <arpa/inet.h>
#include <string.h>

#include "base/nearest.h"
#include "schema/parts.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define HEX_DIGITS DIGITS "abcdefABCDEF"

/* True if c is in the set. A NUL, which a value may contain, is in no set. */
static bool is_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static bool are_of(const char *text, size_t length, const char *set)
{
    for (size_t i = 0; i < length; i++) {
        if (!is_of(text[i], set))
            return false;
    }
    return true;
}

/* --- date-time (RFC 3339) --- */

/* Two digits, at most `most`; -1 otherwise. */
static int two_digits(const char *text, int most)
{
    if (!are_of(text, 2, DIGITS))
        return -1;
    int number = (text[0] - '0') * 10 + (text[1] - '0');
    return number <= most ? number : -1;
}

static bool is_date(const char *text)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!are_of(text, 4, DIGITS) || text[4] != '-' || text[7] != '-')
        return false;
    int year = two_digits(text, 99) * 100 + two_digits(text + 2, 99);
    int month = two_digits(text + 5, 12);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month < 1)
        return false;
    return two_digits(text + 8, days[month - 1] + (leap && month == 2)) >= 1;
}

/* Z, or an offset in minutes. */
static bool read_offset(const char *text, size_t length, int *minutes)
{
    *minutes = 0;
    if (length == 1)
        return text[0] == 'Z' || text[0] == 'z';
    if (length != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':')
        return false;
    int hour = two_digits(text + 1, 23);
    int minute = two_digits(text + 4, 59);
    *minutes = (hour * 60 + minute) * (text[0] == '-' ? -1 : 1);
    return hour >= 0 && minute >= 0;
}

static bool is_date_time(const char *text, size_t length)
{
    size_t at = 19;
    int offset = 0;
    if (length < 20 || !is_date(text) || (text[10] != 'T' && text[10] != 't') || text[13] != ':' || text[16] != ':')
        return false;
    int hour = two_digits(text + 11, 23);
    int minute = two_digits(text + 14, 59);
    int second = two_digits(text + 17, 60);
    if (text[at] == '.') {
        size_t from = ++at;
        while (at < length && is_of(text[at], DIGITS))
            at++;
        if (at == from)
            return false;
    }
    if (hour < 0 || minute < 0 || second < 0 || !read_offset(text + at, length - at, &offset))
        return false;
    /* a leap second is the last of a day in UTC */
    return second < 60 || (hour * 60 + minute - offset + 2 * 1440) % 1440 == 1439;
}

/* --- addresses --- */

static bool is_address(int family, const char *text, size_t length)
{
    char copy[INET6_ADDRSTRLEN];
    unsigned char address[16];
    if (length >= sizeof copy || memchr(text, '\0', length) != NULL)
        return false;
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return inet_pton(family, copy, address) == 1;
}

static bool is_ipv4(const char *text, size_t length)
{
    return is_address(AF_INET, text, length);
}

static bool is_ipv6(const char *text, size_t length)
{
    return is_address(AF_INET6, text, length);
}

/* --- uuid (RFC 4122) --- */

static bool is_uuid(const char *text, size_t length)
{
    if (length != 36)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !is_of(text[i], HEX_DIGITS))
            return false;
    }
    return true;
}

/* --- email (RFC 5321) --- */

static bool is_host_name(const char *text, size_t length)
{
    size_t label = 0;
    if (length == 0 || length > 253)
        return false;
    for (size_t i = 0; i <= length; i++) {
        if (i == length || text[i] == '.') {
            if (label == 0 || label > 63 || text[i - label] == '-' || text[i - 1] == '-')
                return false;
            label = 0;
        } else if (is_of(text[i], LETTERS DIGITS "-")) {
            label++;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_mail_domain(const char *text, size_t length)
{
    if (length < 2 || text[0] != '[' || text[length - 1] != ']')
        return is_host_name(text, length);
    text++;
    length -= 2;
    return length > 5 && memcmp(text, "IPv6:", 5) == 0 ? is_ipv6(text + 5, length - 5) : is_ipv4(text, length);
}

static bool is_quoted(const char *text, size_t length)
{
    if (length < 2 || text[0] != '"' || text[length - 1] != '"')
        return false;
    for (size_t i = 1; i < length - 1; i++) {
        bool escaped = text[i] == '\\';
        if (escaped && ++i == length - 1)
            return false;
        if (text[i] < ' ' || text[i] > '~' || (text[i] == '"' && !escaped))
            return false;
    }
    return true;
}

static bool is_dotted_atom(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool edge = i == 0 || i + 1 == length;
        if (text[i] == '.' ? edge || text[i - 1] == '.' : !is_of(text[i], LETTERS DIGITS "!#$%&'*+-/=?^_`{|}~"))
            return false;
    }
    return length > 0;
}

static bool is_email(const char *text, size_t length)
{
    size_t local = length;
    while (local > 0 && text[local - 1] != '@')
        local--;
    if (local == 0)
        return false;
    size_t domain = length - local;
    local--;
    return local <= 64 && (is_dotted_atom(text, local) || is_quoted(text, local)) &&
           is_mail_domain(text + local + 1, domain);
}

/* --- uri (RFC 3986) --- */

/* Characters of the set and percent escapes. */
static bool is_escaped(const char *text, size_t length, const char *set)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '%') {
            if (length - i < 3 || !are_of(text + i + 1, 2, HEX_DIGITS))
                return false;
            i += 2;
        } else if (!is_of(text[i], set)) {
            return false;
        }
    }
    return true;
}

#define UNRESERVED LETTERS DIGITS "-._~"
#define SUB_DELIMITERS "!$&'()*+,;="
#define PATH_CHARACTERS UNRESERVED SUB_DELIMITERS ":@/"

static size_t length_until(const char *text, size_t length, const char *stops)
{
    size_t i = 0;
    while (i < length && !is_of(text[i], stops))
        i++;
    return i;
}

static bool is_host(const char *text, size_t length)
{
    if (length == 0 || text[0] != '[')
        return is_escaped(text, length, UNRESERVED SUB_DELIMITERS);
    if (length < 2 || text[length - 1] != ']')
        return false;
    bool future = text[1] == 'v' && are_of(text + 1, length - 2, UNRESERVED SUB_DELIMITERS ":");
    return future || is_ipv6(text + 1, length - 2);
}

static bool is_authority(const char *text, size_t length)
{
    size_t user = length_until(text, length, "@");
    if (user < length) {
        if (!is_escaped(text, user, UNRESERVED SUB_DELIMITERS ":"))
            return false;
        text += user + 1;
        length -= user + 1;
    }
    size_t end = length;
    while (end > 0 && is_of(text[end - 1], DIGITS))
        end--;
    bool port = end > 0 && text[end - 1] == ':';
    return is_host(text, port ? end - 1 : length);
}

static bool is_uri(const char *text, size_t length)
{
    size_t scheme = length_until(text, length, ":");
    if (scheme == 0 || scheme == length || !is_of(text[0], LETTERS) || !are_of(text, scheme, LETTERS DIGITS "+-."))
        return false;
    text += scheme + 1;
    length -= scheme + 1;
    if (length >= 2 && text[0] == '/' && text[1] == '/') {
        size_t authority = length_until(text + 2, length - 2, "/?#");
        if (!is_authority(text + 2, authority))
            return false;
        text += authority + 2;
        length -= authority + 2;
    }
    size_t path = length_until(text, length, "?#");
    size_t query = length_until(text + path, length - path, "#");
    size_t rest = path + query;
    return is_escaped(text, path, PATH_CHARACTERS) && is_escaped(text + path, query, PATH_CHARACTERS "?") &&
           (rest == length || is_escaped(text + rest + 1, length - rest - 1, PATH_CHARACTERS "?"));
}

const struct format *format_find(const char *name)
{
    static const struct format formats[] = {
        {.name = "date-time", .check = is_date_time},
        {.name = "email", .check = is_email},
        {.name = "ipv4", .check = is_ipv4},
        {.name = "ipv6", .check = is_ipv6},
        {.name = "uri", .check = is_uri},
        {.name = "uuid", .check = is_uuid},
    };
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    }
    return NULL;
}

bool format_is_known(const char *name, const char **nearest)
{
    static const char *const names[] = {
        "binary", "byte",     "date",          "date-time",    "double",   "duration", "email",
        "float",  "hostname", "idn-email",     "idn-hostname", "int32",    "int64",    "ipv4",
        "ipv6",   "iri",      "iri-reference", "json-pointer", "password", "regex",    "relative-json-pointer",
        "time",   "uri",      "uri-reference", "uri-template", "uuid",
    };
    struct nearest search;
    nearest_begin(&search, name);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        nearest_offer(&search, names[i]);
    *nearest = search.name;
    return search.name != NULL && search.edits == 0;
}
