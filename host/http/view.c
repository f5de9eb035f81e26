/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "http/view.h"

#include <stdlib.h>

const char *const view_reasons[VIEW_REASONS] = {
    [VIEW_INVALID] = "invalid",
    [VIEW_WRONG] = "wrong",
    [VIEW_FAILED] = "failed",
    [VIEW_ATTEMPTS] = "attempts",
    [VIEW_DELIVERY_LIMIT] = "delivery_limit",
    [VIEW_PUBLICATION] = "publication",
    [VIEW_CRASHED] = "crashed",
};

void view_free(struct view *view)
{
    for (size_t i = 0; i < view->component_count; i++)
        free(view->components[i].topics);
    free(view->components);
    *view = (struct view){0};
}
