/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * exporter: sends spans to a collector, as OTLP over HTTP in JSON, on a thread of its own. It holds up no thread that
 * handles messages: what the collector does not take in time is dropped and counted. */
#ifndef OTEL_EXPORTER_H
#define OTEL_EXPORTER_H

#include "base/log.h"
#include "message/message.h"
#include "settings/settings.h"

#define EXPORTER_SPANS_MAX 2048 /* that wait; more are dropped */

struct exporter;

/* Starts the thread. NULL: the settings name no collector, or libcurl is not there, which the log says. The settings
 * have to outlive it. */
struct exporter *exporter_start(const struct settings *settings, struct log *log);

/* [any thread] The handling of a delivery has come to its end. If its message is part of a trace, hands a span over,
 * and puts into passed what its publications are to pass on: the properties of the message with this span as the
 * parent. False: there is no span of it. */
bool exporter_note(struct exporter *exporter, const struct delivery *delivery, const char *component,
                   struct text *passed);

/* Sends what waits. False: the thread has not ended when clock_ms() shows until_ms. NULL is at its end. */
bool exporter_stop(struct exporter *exporter, int64_t until_ms) __attribute__((warn_unused_result));
void exporter_free(struct exporter *exporter); /* after exporter_stop() said true; NULL too */

#endif
