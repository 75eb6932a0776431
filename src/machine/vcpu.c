#include "machine/vcpu.h"

#include "bus/clock.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

/* With the lock held. */
static void wait_at_most(struct vcpu *vcpu, uint64_t ns)
{
    if (ns == UINT64_MAX) {
        pthread_cond_wait(&vcpu->work, &vcpu->lock);
        return;
    }
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    uint64_t nsec = (uint64_t)end.tv_nsec + ns % NS_PER_SECOND;
    end.tv_sec += (time_t)(ns / NS_PER_SECOND + nsec / NS_PER_SECOND);
    end.tv_nsec = (long)(nsec % NS_PER_SECOND);
    pthread_cond_timedwait(&vcpu->work, &vcpu->lock, &end);
}

static enum cpu_exit run(struct vcpu *vcpu)
{
    return vcpu->cosim ? cosim_run(vcpu->cosim) : cpu_run(vcpu->cpu);
}

static bool has_work(struct vcpu *vcpu)
{
    return vcpu->cosim ? cosim_has_work(vcpu->cosim) : cpu_has_work(vcpu->cpu);
}

static void set_request(struct vcpu *vcpu, enum cpu_request request, bool on)
{
    if (vcpu->cosim)
        cosim_request(vcpu->cosim, request, on);
    else if (on)
        cpu_request(vcpu->cpu, request);
    else
        cpu_clear_request(vcpu->cpu, request);
}

static void wait_for_work(struct vcpu *vcpu)
{
    while (!has_work(vcpu)) {
        uint64_t ns = vcpu->timers(vcpu->opaque, true);
        pthread_mutex_lock(&vcpu->lock);
        if (!has_work(vcpu))
            wait_at_most(vcpu, ns);
        pthread_mutex_unlock(&vcpu->lock);
    }
    vcpu->timers(vcpu->opaque, false);
}

static void rest_while_held(struct vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    while (vcpu->held) {
        vcpu->resting = true;
        pthread_cond_signal(&vcpu->rest);
        pthread_cond_wait(&vcpu->work, &vcpu->lock);
    }
    vcpu->resting = false;
    pthread_mutex_unlock(&vcpu->lock);
}

static void *vcpu_main(void *opaque)
{
    struct vcpu *vcpu = opaque;
    vcpu->tid = gettid();
    for (;;) {
        rest_while_held(vcpu);
        enum cpu_exit exit = run(vcpu);
        if (exit == CPU_EXIT_HALT)
            wait_for_work(vcpu);
        else if (!vcpu->stopped(vcpu->opaque, exit))
            break;
    }
    pthread_mutex_lock(&vcpu->lock);
    vcpu->resting = true;
    pthread_cond_signal(&vcpu->rest);
    pthread_mutex_unlock(&vcpu->lock);
    return NULL;
}

void vcpu_init(struct vcpu *vcpu)
{
    *vcpu = (struct vcpu){0};
    pthread_mutex_init(&vcpu->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&vcpu->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&vcpu->rest, NULL);
    vcpu->resting = true;
}

void vcpu_free(struct vcpu *vcpu)
{
    pthread_cond_destroy(&vcpu->rest);
    pthread_cond_destroy(&vcpu->work);
    pthread_mutex_destroy(&vcpu->lock);
}

void vcpu_attach(struct vcpu *vcpu, struct cpu *cpu, struct cosim *cosim)
{
    vcpu->cpu = cpu;
    vcpu->cosim = cosim;
}

bool vcpu_start(struct vcpu *vcpu, vcpu_stopped_fn *stopped, vcpu_timers_fn *timers, void *opaque,
                struct error *error)
{
    vcpu->stopped = stopped;
    vcpu->timers = timers;
    vcpu->opaque = opaque;
    vcpu->resting = false;
    int status = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
    if (status != 0)
        return error_set(error, "the vCPU's thread cannot be started: %s", strerror(status));
    pthread_setname_np(vcpu->thread, "vcpu0");
    return true;
}

void vcpu_join(struct vcpu *vcpu)
{
    pthread_join(vcpu->thread, NULL);
}

void vcpu_hold(struct vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    vcpu->held = true;
    set_request(vcpu, CPU_REQUEST_EXIT, true);
    pthread_cond_signal(&vcpu->work);
    pthread_mutex_unlock(&vcpu->lock);
}

void vcpu_wait_held(struct vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    while (!vcpu->resting)
        pthread_cond_wait(&vcpu->rest, &vcpu->lock);
    pthread_mutex_unlock(&vcpu->lock);
}

void vcpu_release(struct vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    vcpu->held = false;
    pthread_cond_signal(&vcpu->work);
    pthread_mutex_unlock(&vcpu->lock);
}

void vcpu_request(struct vcpu *vcpu, enum cpu_request request, bool on)
{
    if (!vcpu->cpu)
        return;
    if (!on) {
        set_request(vcpu, request, false);
        return;
    }
    pthread_mutex_lock(&vcpu->lock);
    set_request(vcpu, request, true);
    pthread_cond_signal(&vcpu->work);
    pthread_mutex_unlock(&vcpu->lock);
}

void vcpu_mask_a20(struct vcpu *vcpu, bool masked)
{
    if (vcpu->cosim)
        cosim_mask_a20(vcpu->cosim, masked);
    else if (vcpu->cpu)
        cpu_mask_a20(vcpu->cpu, masked);
}

void vcpu_set_ignne(struct vcpu *vcpu, bool asserted)
{
    if (vcpu->cosim)
        cosim_set_ignne(vcpu->cosim, asserted);
    else if (vcpu->cpu)
        cpu_set_ignne(vcpu->cpu, asserted);
}

void vcpu_wake(struct vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    pthread_cond_signal(&vcpu->work);
    pthread_mutex_unlock(&vcpu->lock);
}
