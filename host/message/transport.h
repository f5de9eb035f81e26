/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * transport: the interface between the ring and the carrier of its messages: RabbitMQ (consumer and publisher), or
 * memory, for a plugin without a broker (`valawai-host try`). Deliveries enter by ring_deliver(), and outcomes of
 * publications by publications_report(). */
#ifndef MESSAGE_TRANSPORT_H
#define MESSAGE_TRANSPORT_H

#include "message/message.h"

struct transport {
    /* [any thread] Settles deliveries by their settlement and frees them. Empties the list. */
    void (*settle)(void *context, struct list *deliveries);

    /* [any thread] Sends publications; may wait for room. False, with the list unchanged, if the transport is closing.
     */
    bool (*send)(void *context, struct list *publications);

    /* [any thread] Sends a record to the MOV. Best effort; never waits. Unless at_once, it leaves with the next
     * publication or with flush(). NULL: there is no MOV. */
    void (*record)(void *context, const char *body, size_t len, bool at_once);
    void (*flush)(void *context); /* may be NULL */

    void *context;
};

#endif
