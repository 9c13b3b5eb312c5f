// SPDX-License-Identifier: Apache-2.0
//
// The calendar is computed by days since 0000-03-01, so that the leap day ends a year.
#include "page.h"

#include <inttypes.h>
#include <time.h>

enum { MOSCOW_OFFSET_S = 3 * 3600, DAY_S = 86400 };

static const char *const weekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

static const char style[] =
    "<style>"
    ":root{color-scheme:light dark;--ink:#1d2433;--soft:#6b7488;--paper:#f4f1ea;--card:#fffdf8;"
    "--hand:#b3321f;--line:#e4dfd3}"
    "@media(prefers-color-scheme:dark){:root{--ink:#ece7db;--soft:#9aa3b5;--paper:#12151d;"
    "--card:#1b202b;--hand:#ff7a5c;--line:#2c3342}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--paper);"
    "color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}"
    "main{background:var(--card);border:1px solid var(--line);border-radius:24px;"
    "padding:40px 48px;text-align:center;max-width:92vw;box-shadow:0 20px 60px #0001}"
    "h1{font-size:15px;letter-spacing:.14em;text-transform:uppercase;color:var(--soft);"
    "margin:0 0 24px;font-weight:600}"
    "svg{width:min(260px,60vw);height:auto;display:block;margin:0 auto 24px}"
    ".time{font-size:56px;font-weight:300;font-variant-numeric:tabular-nums;line-height:1.1;"
    "margin:0}"
    ".date{color:var(--soft);margin:4px 0 28px}"
    ".visit{border-top:1px solid var(--line);padding-top:20px;margin:0;font-size:18px}"
    ".visit b{font-variant-numeric:tabular-nums;color:var(--hand)}"
    "footer{color:var(--soft);font-size:13px;margin-top:8px}"
    "code{font:13px ui-monospace,SFMono-Regular,Menlo,monospace}"
    "</style>";

/* Moves the hands by the server's time, not by the clock of the visitor's computer. */
static const char script[] =
    "<script>(function(){"
    "var at=+document.querySelector('main').dataset.now*1000,from=Date.now();"
    "function two(n){return(n<10?'0':'')+n}"
    "function turn(id,deg){document.getElementById(id)"
    ".setAttribute('transform','rotate('+deg+' 100 100)')}"
    "setInterval(function(){"
    "var d=new Date(at+Date.now()-from+10800000),"
    "h=d.getUTCHours(),m=d.getUTCMinutes(),s=d.getUTCSeconds();"
    "turn('h',h%12*30+m/2);turn('m',m*6+s/10);turn('s',s*6);"
    "document.querySelector('.time').textContent=two(h)+':'+two(m)+':'+two(s);"
    "},250)})()</script>";

int64_t page_now(void)
{
    return (int64_t)time(NULL);
}

struct moscow_clock moscow_clock_at(int64_t now)
{
    int64_t local = now + MOSCOW_OFFSET_S;
    int64_t days = local / DAY_S, rest = local % DAY_S;
    int64_t since = days + 719468; /* days from 0000-03-01 */
    int64_t era = since / 146097, of_era = since % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; /* 0 = March */
    return (struct moscow_clock){.year = (int)(year + era * 400 + (month >= 10)),
                                 .month = (int)(month < 10 ? month + 3 : month - 9),
                                 .day = (int)(of_year - (153 * month + 2) / 5 + 1),
                                 .weekday = (int)((days + 4) % 7),
                                 .hour = (int)(rest / 3600),
                                 .minute = (int)(rest / 60 % 60),
                                 .second = (int)(rest % 60)};
}

static void write_face(struct http_reply *reply, const struct moscow_clock *clock)
{
    http_reply_printf(reply, "<svg viewBox=\"0 0 200 200\" role=\"img\" "
                             "aria-label=\"Clock face\"><circle cx=\"100\" cy=\"100\" r=\"96\" "
                             "fill=\"none\" stroke=\"var(--line)\" stroke-width=\"3\"/>");
    for (int i = 0; i < 12; i++) {
        http_reply_printf(reply,
                          "<line x1=\"100\" y1=\"12\" x2=\"100\" y2=\"%d\" stroke=\"%s\" "
                          "stroke-width=\"3\" stroke-linecap=\"round\" "
                          "transform=\"rotate(%d 100 100)\"/>",
                          i % 3 == 0 ? 24 : 18, i % 3 == 0 ? "var(--ink)" : "var(--soft)", i * 30);
    }
    const struct {
        const char *id, *color;
        int y, width, tenths; /* length, thickness, angle in tenths of a degree */
    } hands[] = {
        {"h", "var(--ink)",  56, 6, (clock->hour % 12 * 60 + clock->minute) * 5},
        {"m", "var(--ink)",  30, 4, clock->minute * 60 + clock->second         },
        {"s", "var(--hand)", 22, 2, clock->second * 60                         },
    };
    for (size_t i = 0; i < sizeof hands / sizeof *hands; i++) {
        http_reply_printf(reply,
                          "<line id=\"%s\" x1=\"100\" y1=\"108\" x2=\"100\" y2=\"%d\" "
                          "stroke=\"%s\" stroke-width=\"%d\" stroke-linecap=\"round\" "
                          "transform=\"rotate(%d.%d 100 100)\"/>",
                          hands[i].id, hands[i].y, hands[i].color, hands[i].width,
                          hands[i].tenths / 10, hands[i].tenths % 10);
    }
    http_reply_printf(reply, "<circle cx=\"100\" cy=\"100\" r=\"4\" fill=\"var(--hand)\"/></svg>");
}

void page_write(struct http_reply *reply, const struct page *page)
{
    struct moscow_clock clock = moscow_clock_at(page->now);
    http_reply_printf(reply, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                             "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    http_reply_text(reply, page->title);
    http_reply_printf(reply,
                      "</title><link rel=\"icon\" href=\"data:,\">%s</head><body>"
                      "<main data-now=\"%" PRId64 "\"><h1>",
                      style, page->now);
    http_reply_text(reply, page->title);
    http_reply_printf(reply, "</h1>");
    write_face(reply, &clock);
    http_reply_printf(reply,
                      "<p class=\"time\">%02d:%02d:%02d</p>"
                      "<p class=\"date\">%s, %d %s %d, Moscow (UTC+3)</p>"
                      "<p class=\"visit\">Visit number <b>%" PRIu64 "</b></p><footer><code>",
                      clock.hour, clock.minute, clock.second, weekdays[clock.weekday], clock.day,
                      months[clock.month - 1], clock.year, page->visit);
    http_reply_text(reply, page->pod);
    http_reply_printf(reply, "</code>, version %s</footer></main>%s</body></html>\n", page->version,
                      script);
}
