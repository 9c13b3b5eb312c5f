// SPDX-License-Identifier: Apache-2.0
#include "archive_fixture.h"

#include "node/blob_stream.h"

#include <stdio.h>

enum { BLOCK = 512 };

void tar_add(struct buf *tar, char type, const char *name, const char *link, struct str content)
{
    char h[BLOCK] = {0};
    static const char zeros[BLOCK];
    unsigned sum = 0;
    (void)snprintf(h, 100, "%s", name);
    (void)snprintf(h + 100, 8, "%07o", type == '5' || strncmp(name, "bin/", 4) == 0 ? 0755 : 0644);
    (void)snprintf(h + 108, 8, "%07o", 0);
    (void)snprintf(h + 116, 8, "%07o", 0);
    (void)snprintf(h + 124, 12, "%011o", (unsigned)content.n);
    (void)snprintf(h + 136, 12, "%011o", 1700000000u);
    memset(h + 148, ' ', 8);
    h[156] = type;
    (void)snprintf(h + 157, 100, "%s", link);
    memcpy(h + 257, "ustar\00000", 8);
    (void)snprintf(h + 329, 8, "%07o", 0);
    (void)snprintf(h + 337, 8, "%07o", 0);
    for (size_t i = 0; i < BLOCK; i++) {
        sum += (unsigned char)h[i];
    }
    (void)snprintf(h + 148, 8, "%06o", sum);
    (void)buf_add(tar, (struct str){h, BLOCK});
    (void)buf_add(tar, content);
    (void)buf_add(tar, (struct str){zeros, (BLOCK - content.n % BLOCK) % BLOCK});
}

void tar_end(struct buf *tar)
{
    static const char zeros[BLOCK * 2];
    (void)buf_add(tar, (struct str){zeros, sizeof zeros});
}

void docker_archive(struct buf *out, const char *tag, const struct buf *layers, size_t count)
{
    auto_buf struct buf config;
    auto_buf struct buf manifest;
    char digest[DIGEST_TEXT_MAX];
    buf_init(&config, 1 << 16);
    buf_init(&manifest, 1 << 16);
    (void)buf_addf(&config,
                   "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"sh\"],"
                   "\"Env\":[\"PATH=/bin\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
    (void)buf_addf(&manifest, "[{\"Config\":\"c.json\",\"RepoTags\":[\"%s\"],\"Layers\":[", tag);
    for (size_t i = 0; i < count; i++) {
        char name[32];
        digest_of(buf_str(&layers[i]), digest);
        (void)buf_addf(&config, "%s\"%s\"", i == 0 ? "" : ",", digest);
        (void)buf_addf(&manifest, "%s\"%zu.tar\"", i == 0 ? "" : ",", i);
        (void)snprintf(name, sizeof name, "%zu.tar", i);
        tar_add(out, '0', name, "", buf_str(&layers[i]));
    }
    (void)buf_add(&config, S("]}}"));
    (void)buf_add(&manifest, S("]}]"));
    tar_add(out, '0', "c.json", "", buf_str(&config));
    tar_add(out, '0', "manifest.json", "", buf_str(&manifest));
    tar_end(out);
}
