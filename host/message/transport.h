/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * transport: what the ring asks of whatever carries its messages. RabbitMQ is one (consumer and publisher); memory is
 * another, where a plugin runs without a broker (`valawai-host try`). Deliveries come in by ring_deliver(), and the
 * outcome of publications by publications_report(). */
#ifndef MESSAGE_TRANSPORT_H
#define MESSAGE_TRANSPORT_H

#include "message/message.h"

struct transport {
    /* [any thread] Settles deliveries by their settlement and frees them. Empties the list. */
    void (*settle)(void *context, struct list *deliveries);

    /* [any thread] Sends publications; may wait for room. False, with the list as it was, if it takes nothing more. */
    bool (*send)(void *context, struct list *publications);

    /* [any thread] A record for the MOV: best effort, waits for nothing. Unless it is to go at once, it
     * leaves with the next publication or with flush(). NULL: there is no MOV. */
    void (*record)(void *context, const char *body, size_t len, bool at_once);
    void (*flush)(void *context); /* may be NULL */

    void *context;
};

#endif
