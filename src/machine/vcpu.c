#include "machine/vcpu.h"

#include <string.h>

static void wait_for_work(struct vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    while (!cpu_has_work(vcpu->cpu))
        pthread_cond_wait(&vcpu->work, &vcpu->lock);
    pthread_mutex_unlock(&vcpu->lock);
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
    for (;;) {
        rest_while_held(vcpu);
        enum cpu_exit exit = cpu_run(vcpu->cpu);
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
    pthread_cond_init(&vcpu->work, NULL);
    pthread_cond_init(&vcpu->rest, NULL);
}

void vcpu_free(struct vcpu *vcpu)
{
    pthread_cond_destroy(&vcpu->rest);
    pthread_cond_destroy(&vcpu->work);
    pthread_mutex_destroy(&vcpu->lock);
}

void vcpu_attach(struct vcpu *vcpu, struct cpu *cpu)
{
    vcpu->cpu = cpu;
}

bool vcpu_start(struct vcpu *vcpu, vcpu_stopped_fn *stopped, void *opaque, struct error *error)
{
    vcpu->stopped = stopped;
    vcpu->opaque = opaque;
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
    cpu_request(vcpu->cpu, CPU_REQUEST_EXIT);
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
        cpu_clear_request(vcpu->cpu, request);
        return;
    }
    pthread_mutex_lock(&vcpu->lock);
    cpu_request(vcpu->cpu, request);
    pthread_cond_signal(&vcpu->work);
    pthread_mutex_unlock(&vcpu->lock);
}
