#include "backends/block/block.h"

#include "backends/block/image.h"
#include "bus/bus.h"
#include "host/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORKERS = 4, RETRY_SECONDS = 1 };

struct request_list {
    struct block_request *first, **end;
};

/* The bus lock comes before `lock`, under which nothing is locked. */
struct block_image {
    struct image *image;
    struct block_config config;
    struct thread workers[WORKERS];
    unsigned worker_count;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t work;  /* for workers */
    pthread_cond_t idle;  /* for block_drain() and block_pause() */
    struct request_list queued;
    struct request_list completed; /* done() is still to be called */
    struct request_list held;      /* writes that the host had no room for */
    unsigned waiting;              /* workers without work */
    unsigned running;              /* requests that are being carried out */
    bool delivering;               /* a worker waits for the bus lock, to call done() */
    bool paused, stopping;
    bool stalled, stall_told; /* what is so, and what the owner has been told */
    struct block_statistics statistics;
};

/* ---- Lists ---- */

static void list_init(struct request_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void list_append(struct request_list *list, struct block_request *request)
{
    request->next = NULL;
    *list->end = request;
    list->end = &request->next;
}

static struct block_request *list_take(struct request_list *list)
{
    struct block_request *request = list->first;
    if (request && !(list->first = request->next))
        list->end = &list->first;
    return request;
}

/* Moves all of one list to the end of another. */
static void list_move(struct request_list *to, struct request_list *from)
{
    struct block_request *request;
    while ((request = list_take(from)))
        list_append(to, request);
}

/* ---- What workers do ---- */

static int check(const struct image *image, const struct block_request *request)
{
    bool has_data = request->operation == BLOCK_READ || request->operation == BLOCK_WRITE;
    uint64_t size = 0;
    if (request->operation == BLOCK_FLUSH)
        return 0;
    if (has_data && request->iov_count > BLOCK_IOV_MAX)
        return -EINVAL;
    for (unsigned i = 0; has_data && i < request->iov_count; i++)
        size += request->iov[i].iov_len;
    if ((has_data && size != request->size) || request->offset % 512 || request->size % 512 ||
        !image_holds(image, request->offset, request->size))
        return -EINVAL;
    return image->readonly && request->operation != BLOCK_READ ? -EROFS : 0;
}

static int run_request(struct image *image, const struct block_request *request)
{
    uint64_t offset = request->offset, size = request->size;
    int status = check(image, request);
    if (status)
        return status;
    switch (request->operation) {
    case BLOCK_READ:
        return image->ops->read(image, request->iov, request->iov_count, offset, size);
    case BLOCK_WRITE:
        return image->ops->write(image, request->iov, request->iov_count, offset, size);
    case BLOCK_DISCARD:
        return image->ops->discard(image, offset, size);
    case BLOCK_WRITE_ZEROES:
        return image->ops->write_zeroes(image, offset, size, request->may_unmap);
    case BLOCK_FLUSH:
        break;
    }
    return image->readonly ? 0 : image->ops->flush(image);
}

/* Bus lock and lock held; lets go of lock meanwhile. */
static void tell_stall(struct block_image *disk)
{
    while (disk->stall_told != disk->stalled) {
        bool stalled = disk->stall_told = disk->stalled;
        char message[512];
        snprintf(message, sizeof(message),
                 stalled ? "%s: the host's disk is full: the guest waits until there is room"
                         : "%s: there is room on the host's disk again: the guest goes on",
                 disk->image->file.path);
        pthread_mutex_unlock(&disk->lock);
        disk->config.stall(disk->config.opaque, stalled, message);
        pthread_mutex_lock(&disk->lock);
    }
}

/* Calls done() for what is completed. Bus lock and lock held; lets go of lock meanwhile. */
static void deliver(struct block_image *disk)
{
    struct block_request *request;
    while (!disk->paused && (request = list_take(&disk->completed))) {
        disk->statistics.in_flight--;
        pthread_mutex_unlock(&disk->lock);
        request->done(request, request->error);
        pthread_mutex_lock(&disk->lock);
    }
}

/* Lock held. */
static void complete(struct block_image *disk, struct block_request *request, int error)
{
    request->error = error;
    disk->statistics.operations[request->operation].requests++;
    if (error)
        disk->statistics.operations[request->operation].errors++;
    else
        disk->statistics.operations[request->operation].bytes += request->size;
    list_append(&disk->completed, request);
}

/* Lock held. True: time for another try at what is held. */
static bool wait_for_work(struct block_image *disk)
{
    bool retry = false;
    disk->waiting++;
    if (disk->held.first && !disk->paused) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += RETRY_SECONDS;
        retry = pthread_cond_timedwait(&disk->work, &disk->lock, &until) == ETIMEDOUT;
    } else {
        pthread_cond_wait(&disk->work, &disk->lock);
    }
    disk->waiting--;
    return retry;
}

/* The next request, when there is one; NULL: the disk is being closed. Lock held. */
static struct block_request *next_request(struct block_image *disk)
{
    bool retry = false;
    while (!disk->stopping) {
        if (retry && disk->held.first && !disk->paused)
            return list_take(&disk->held);
        if (!disk->paused && !disk->stalled && disk->queued.first)
            return list_take(&disk->queued);
        retry = wait_for_work(disk);
    }
    return NULL;
}

static bool is_full(const struct block_image *disk, int error)
{
    return (error == -ENOSPC || error == -EDQUOT) && disk->config.stall;
}

/* There is room again: what was held comes before what is queued. Lock held. */
static void end_stall(struct block_image *disk)
{
    struct request_list first = disk->held;
    if (!first.first)
        first.end = &first.first;
    list_move(&first, &disk->queued);
    list_init(&disk->held);
    list_move(&disk->queued, &first);
    disk->stalled = false;
    pthread_cond_broadcast(&disk->work);
}

/* Lock held. */
static void finish(struct block_image *disk, struct block_request *request, int error)
{
    if (is_full(disk, error)) {
        request->error = error;
        list_append(&disk->held, request);
        disk->stalled = true;
        return;
    }
    if (request->error && disk->stalled) /* it was held */
        end_stall(disk);
    complete(disk, request, error);
}

static void work(void *opaque)
{
    struct block_image *disk = opaque;
    struct block_request *request;
    pthread_mutex_lock(&disk->lock);
    while ((request = next_request(disk))) {
        disk->running++;
        pthread_mutex_unlock(&disk->lock);
        int error = run_request(disk->image, request);
        pthread_mutex_lock(&disk->lock);
        disk->running--;
        finish(disk, request, error);
        if (!disk->running)
            pthread_cond_broadcast(&disk->idle);
        if (disk->delivering) /* another worker is about to take the bus lock for all */
            continue;
        disk->delivering = true;
        pthread_mutex_unlock(&disk->lock);
        bus_lock(disk->config.bus);
        pthread_mutex_lock(&disk->lock);
        disk->delivering = false;
        tell_stall(disk);
        deliver(disk);
        pthread_mutex_unlock(&disk->lock);
        bus_unlock(disk->config.bus);
        pthread_mutex_lock(&disk->lock);
    }
    pthread_mutex_unlock(&disk->lock);
}

/* ---- For devices ---- */

void block_submit(struct block_image *disk, struct block_request *request)
{
    request->error = 0;
    pthread_mutex_lock(&disk->lock);
    disk->statistics.in_flight++;
    list_append(&disk->queued, request);
    if (disk->waiting)
        pthread_cond_signal(&disk->work);
    pthread_mutex_unlock(&disk->lock);
}

/* Ends all that is queued, by carrying it out here or with error, and waits for what has begun:
 * workers may wait for the bus lock, which the caller holds. */
static void finish_all(struct block_image *disk, int error)
{
    struct block_request *request;
    pthread_mutex_lock(&disk->lock);
    bool paused = disk->paused;
    disk->paused = false;
    for (;;) {
        while ((request = list_take(&disk->held)))
            complete(disk, request, -ENOSPC);
        disk->stalled = false;
        if ((request = list_take(&disk->queued))) {
            disk->running++;
            pthread_mutex_unlock(&disk->lock);
            int status = error ? error : run_request(disk->image, request);
            pthread_mutex_lock(&disk->lock);
            disk->running--;
            complete(disk, request, status);
        } else if (disk->running) {
            pthread_cond_wait(&disk->idle, &disk->lock);
        } else if (disk->completed.first) {
            deliver(disk);
        } else if (!disk->held.first) {
            break;
        }
    }
    tell_stall(disk);
    disk->paused = paused;
    pthread_mutex_unlock(&disk->lock);
}

void block_drain(struct block_image *disk)
{
    finish_all(disk, 0);
}

void block_cancel(struct block_image *disk)
{
    finish_all(disk, -ECANCELED);
}

void block_pause(struct block_image *disk)
{
    pthread_mutex_lock(&disk->lock);
    disk->paused = true;
    while (disk->running)
        pthread_cond_wait(&disk->idle, &disk->lock);
    pthread_mutex_unlock(&disk->lock);
}

void block_resume(struct block_image *disk)
{
    pthread_mutex_lock(&disk->lock);
    disk->paused = false;
    pthread_cond_broadcast(&disk->work);
    deliver(disk);
    pthread_mutex_unlock(&disk->lock);
}

void block_get_statistics(struct block_image *disk, struct block_statistics *statistics)
{
    pthread_mutex_lock(&disk->lock);
    *statistics = disk->statistics;
    pthread_mutex_unlock(&disk->lock);
}

uint64_t block_size(const struct block_image *disk)
{
    return disk->image->size;
}

const char *block_format(const struct block_image *disk)
{
    return disk->image->ops->name;
}

bool block_is_readonly(const struct block_image *disk)
{
    return disk->image->readonly;
}

/* ---- Life and death ---- */

static void stop_workers(struct block_image *disk)
{
    pthread_mutex_lock(&disk->lock);
    disk->stopping = true;
    pthread_cond_broadcast(&disk->work);
    pthread_mutex_unlock(&disk->lock);
    while (disk->worker_count)
        thread_join(&disk->workers[--disk->worker_count]);
}

static void destroy(struct block_image *disk)
{
    stop_workers(disk);
    image_close(disk->image);
    pthread_cond_destroy(&disk->work);
    pthread_cond_destroy(&disk->idle);
    pthread_mutex_destroy(&disk->lock);
    free(disk);
}

struct block_image *block_over(struct image *image, const struct block_config *config,
                               struct error *error)
{
    struct block_image *disk = calloc(1, sizeof(*disk));
    if (!disk) {
        error_set(error, "%s: out of memory", image->file.path);
        image_close(image);
        return NULL;
    }
    disk->image = image;
    disk->config = *config;
    list_init(&disk->queued);
    list_init(&disk->completed);
    list_init(&disk->held);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&disk->work, &monotonic);
    pthread_cond_init(&disk->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&disk->lock, NULL);
    for (; disk->worker_count < WORKERS; disk->worker_count++)
        if (!thread_start(&disk->workers[disk->worker_count], "disk", work, disk, error)) {
            destroy(disk);
            return NULL;
        }
    return disk;
}

struct block_image *block_open(const struct disk_options *options,
                               const struct block_config *config, struct error *error)
{
    struct image *image = image_open(options, error);
    return image ? block_over(image, config, error) : NULL;
}

void block_close(struct block_image *disk)
{
    if (!disk)
        return;
    bus_lock(disk->config.bus);
    block_cancel(disk);
    bus_unlock(disk->config.bus);
    destroy(disk);
}
