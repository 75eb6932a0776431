/* Compressed clusters. They are only read: a write replaces them by plain ones. The last one stays
 * in memory, as guests read smaller pieces than a cluster. */
#include "backends/block/qcow2.h"
#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

void qcow2_compressed_range(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *size)
{
    unsigned offset_bits = 62 - (q->cluster_bits - 8);
    *offset = bits_get(entry, 0, offset_bits);
    *size = 512 * (bits_get(entry, offset_bits, q->cluster_bits - 8) + 1) - (*offset & 511);
}

static bool inflate_deflate(uint8_t *out, size_t out_size, const uint8_t *in, size_t in_size)
{
    z_stream stream = {.next_in = (uint8_t *)in,
                       .avail_in = (uInt)in_size,
                       .next_out = out,
                       .avail_out = (uInt)out_size};
    if (inflateInit2(&stream, -15) != Z_OK)
        return false;
    int status = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    return (status == Z_STREAM_END || status == Z_BUF_ERROR) && !stream.avail_out;
}

static bool inflate_zstd(uint8_t *out, size_t out_size, const uint8_t *in, size_t in_size)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    ZSTD_outBuffer output = {out, out_size, 0};
    ZSTD_inBuffer input = {in, in_size, 0};
    size_t before;
    do {
        before = input.pos + output.pos;
    } while (context && output.pos < out_size &&
             !ZSTD_isError(ZSTD_decompressStream(context, &output, &input)) &&
             input.pos + output.pos > before);
    ZSTD_freeDCtx(context);
    return output.pos == out_size;
}

static int inflate_entry(struct qcow2 *q, uint64_t entry)
{
    uint64_t offset, size;
    if (q->inflated_entry == entry)
        return 0;
    /* The sectors of one cluster's data never are more than two clusters. */
    if (!q->inflated)
        q->inflated = malloc(q->cluster_size);
    if (!q->deflated)
        q->deflated = malloc(2 * (size_t)q->cluster_size);
    if (!q->inflated || !q->deflated)
        return -ENOMEM;
    qcow2_compressed_range(q, entry, &offset, &size);
    int status = host_file_read(&q->image->file, q->deflated, size, offset);
    if (status)
        return status;
    q->inflated_entry = 0;
    bool good = q->is_zstd ? inflate_zstd(q->inflated, q->cluster_size, q->deflated, size)
                           : inflate_deflate(q->inflated, q->cluster_size, q->deflated, size);
    if (!good)
        return qcow2_damaged(q, "a compressed cluster cannot be unpacked, at the file offset",
                             offset);
    q->inflated_entry = entry;
    return 0;
}

int qcow2_inflate(struct qcow2 *q, uint64_t entry, const struct iovec *iov, unsigned count,
                  uint64_t start)
{
    pthread_mutex_lock(&q->inflate_lock);
    int status = inflate_entry(q, entry);
    if (!status)
        iov_from_bytes(iov, count, q->inflated + start);
    pthread_mutex_unlock(&q->inflate_lock);
    return status;
}
