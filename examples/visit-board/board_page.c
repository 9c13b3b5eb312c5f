// SPDX-License-Identifier: Apache-2.0
//
// Names come from DNS, so they are escaped like anything else from outside.
#include "board_page.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY_LINES = 8, MOSCOW_OFFSET_S = 3 * 3600, DAY_S = 86400 };

static const char style[] =
    "<style>"
    ":root{color-scheme:light dark;--ink:#1d2433;--soft:#6b7488;--paper:#f4f1ea;--card:#fffdf8;"
    "--bar:#2f6f8f;--bad:#b3321f;--line:#e4dfd3}"
    "@media(prefers-color-scheme:dark){:root{--ink:#ece7db;--soft:#9aa3b5;--paper:#12151d;"
    "--card:#1b202b;--bar:#63b3d6;--bad:#ff7a5c;--line:#2c3342}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--paper);"
    "color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}"
    "main{background:var(--card);border:1px solid var(--line);border-radius:24px;"
    "padding:40px 48px;width:min(720px,94vw);box-shadow:0 20px 60px #0001}"
    "h1{font-size:15px;letter-spacing:.14em;text-transform:uppercase;color:var(--soft);"
    "margin:0 0 8px;font-weight:600}"
    ".sum{font-size:48px;font-weight:300;margin:0 0 24px;font-variant-numeric:tabular-nums}"
    ".sum small{font-size:16px;color:var(--soft);font-weight:400}"
    "table{width:100%;border-collapse:collapse}"
    "td{padding:8px 0;border-top:1px solid var(--line);vertical-align:middle}"
    "td:first-child{font:14px ui-monospace,SFMono-Regular,Menlo,monospace;white-space:nowrap;"
    "padding-right:20px}"
    "td:last-child{text-align:right;font-variant-numeric:tabular-nums;padding-left:16px}"
    ".bar{height:10px;border-radius:5px;background:var(--bar);min-width:3px}"
    ".bad{color:var(--bad);font-size:14px}"
    "pre{color:var(--soft);font:12px/1.6 ui-monospace,SFMono-Regular,Menlo,monospace;"
    "border-top:1px solid var(--line);padding-top:16px;margin:24px 0 0;overflow-x:auto}"
    "footer{color:var(--soft);font-size:13px;margin-top:16px}"
    "</style>";

static void write_rows(struct http_reply *reply, const struct board *board)
{
    uint64_t most = 1;
    for (int i = 0; i < board->rows_count; i++) {
        most = board->rows[i].visits > most ? board->rows[i].visits : most;
    }
    http_reply_printf(reply, "<table>");
    for (int i = 0; i < board->rows_count; i++) {
        const struct board_row *row = &board->rows[i];
        http_reply_printf(reply, "<tr><td>");
        http_reply_text(reply, row->pod);
        if (row->is_known) {
            http_reply_printf(reply,
                              "</td><td style=\"width:100%%\"><div class=\"bar\" "
                              "style=\"width:%.1f%%\"></div></td><td>%" PRIu64 "</td></tr>",
                              (double)row->visits * 100 / (double)most, row->visits);
        } else {
            http_reply_printf(reply, "</td><td style=\"width:100%%\" class=\"bad\">");
            http_reply_text(reply, row->problem);
            http_reply_printf(reply, "</td><td></td></tr>");
        }
    }
    http_reply_printf(reply, "</table>");
}

static void write_time(struct http_reply *reply, int64_t at)
{
    int64_t s = (at + MOSCOW_OFFSET_S) % DAY_S;
    http_reply_printf(reply, "%02d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

/* The last lines, newest first, with times instead of seconds. */
static void write_history(struct http_reply *reply, const char *text)
{
    const char *end = text + strlen(text);
    http_reply_printf(reply, "<pre>");
    for (int i = 0; i < HISTORY_LINES && end > text; i++) {
        const char *line = end - 1;
        while (line > text && line[-1] != '\n') {
            line--;
        }
        char *rest;
        write_time(reply, (int64_t)strtoll(line, &rest, 10));
        for (const char *p = rest; p < end; p++) {
            http_reply_text(reply, (char[2]){*p, '\0'});
        }
        end = line;
    }
    http_reply_printf(reply, "</pre>");
}

void board_page_write(struct http_reply *reply, const struct board_page *page)
{
    const struct board *board = page->board;
    uint64_t sum = 0;
    for (int i = 0; i < board->rows_count; i++) {
        sum += board->rows[i].is_known ? board->rows[i].visits : 0;
    }
    http_reply_printf(reply,
                      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                      "<meta name=\"viewport\" content=\"width=device-width\">"
                      "<meta http-equiv=\"refresh\" content=\"%d\"><title>Visit board</title>"
                      "<link rel=\"icon\" href=\"data:,\">%s</head><body><main>"
                      "<h1>Visit board</h1><p class=\"sum\">%" PRIu64
                      " <small>visits on %d replica%s</small></p>",
                      page->refresh_s, style, sum, board->rows_count,
                      board->rows_count == 1 ? "" : "s");
    if (board->rows_count > 0) {
        write_rows(reply, board);
    } else {
        http_reply_printf(reply, "<p class=\"bad\">");
        http_reply_text(reply, board->asked_at == 0 ? "asking for the first time" : board->problem);
        http_reply_printf(reply, "</p>");
    }
    write_history(reply, page->history);
    http_reply_printf(reply, "<footer>");
    http_reply_text(reply, page->pod);
    http_reply_printf(reply, ", version %s, asks ", page->version);
    http_reply_text(reply, page->service);
    http_reply_printf(reply, "</footer></main></body></html>\n");
}
