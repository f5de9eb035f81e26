/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "http/view.h"

#include <stdlib.h>

const char *const view_reasons[VIEW_REASONS] = {"invalid",        "wrong",       "failed", "attempts",
                                                "delivery_limit", "publication", "crashed"};

void view_free(struct view *view)
{
    for (size_t i = 0; i < view->component_count; i++)
        free(view->components[i].topics);
    free(view->components);
    *view = (struct view){0};
}
