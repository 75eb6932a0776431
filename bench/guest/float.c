/* Floating point. Only operations that IEEE 754 or the x87's definition fix to the last bit, so
 * that checksums agree. */
#include "bench.h"

#include <immintrin.h>
#include <string.h>

static uint64_t bits(double value)
{
    uint64_t result;
    memcpy(&result, &value, sizeof(result));
    return result;
}

/* --- matrix products --- */

#define SIDE 96

struct matrices {
    double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
};

static void *matrix_prepare(const struct bench_env *env)
{
    struct matrices *m = bench_alloc(sizeof(*m));
    (void)env;
    for (unsigned i = 0; i < SIDE; i++)
        for (unsigned j = 0; j < SIDE; j++) {
            m->a[i][j] = (double)(i + 1) / (j + 2);
            m->b[i][j] = (double)(j + 1) / (i + 3);
        }
    return m;
}

static uint64_t matrix_sum(const struct matrices *m)
{
    uint64_t hash = 0;
    for (unsigned i = 0; i < SIDE; i++)
        hash = bench_mix(hash, bits(m->c[i][i]));
    return hash;
}

static uint64_t matrix_sse2_round(void *state)
{
    struct matrices *m = state;
    for (unsigned i = 0; i < SIDE; i++)
        for (unsigned j = 0; j < SIDE; j += 8) {
            __m128d sum[4] = {_mm_setzero_pd(), _mm_setzero_pd(), _mm_setzero_pd(),
                              _mm_setzero_pd()};
            for (unsigned k = 0; k < SIDE; k++) {
                __m128d factor = _mm_set1_pd(m->a[i][k]);
                for (unsigned l = 0; l < 4; l++)
                    sum[l] =
                        _mm_add_pd(sum[l], _mm_mul_pd(factor, _mm_loadu_pd(&m->b[k][j + 2 * l])));
            }
            for (unsigned l = 0; l < 4; l++)
                _mm_storeu_pd(&m->c[i][j + 2 * l], sum[l]);
        }
    return matrix_sum(m);
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

__attribute__((target("avx2,fma"))) static uint64_t matrix_avx2_round(void *state)
{
    struct matrices *m = state;
    for (unsigned i = 0; i < SIDE; i++)
        for (unsigned j = 0; j < SIDE; j += 16) {
            __m256d sum[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(),
                              _mm256_setzero_pd()};
            for (unsigned k = 0; k < SIDE; k++) {
                __m256d factor = _mm256_set1_pd(m->a[i][k]);
                for (unsigned l = 0; l < 4; l++)
                    sum[l] = _mm256_fmadd_pd(factor, _mm256_loadu_pd(&m->b[k][j + 4 * l]), sum[l]);
            }
            for (unsigned l = 0; l < 4; l++)
                _mm256_storeu_pd(&m->c[i][j + 4 * l], sum[l]);
        }
    return matrix_sum(m);
}

/* --- bodies under gravity --- */

#define BODIES 5

static uint64_t nbody_round(void *state)
{
    double place[BODIES][3], speed[BODIES][3], mass[BODIES];
    (void)state;
    for (unsigned i = 0; i < BODIES; i++) {
        mass[i] = 1.0 / (i + 1);
        for (unsigned d = 0; d < 3; d++) {
            place[i][d] = (double)((i * 7 + d * 5) % 11) - 5;
            speed[i][d] = (double)((i * 3 + d) % 5) / 10;
        }
    }
    for (unsigned step = 0; step < 3000; step++) {
        for (unsigned i = 0; i < BODIES; i++)
            for (unsigned j = i + 1; j < BODIES; j++) {
                double way[3], square = 0.01;
                for (unsigned d = 0; d < 3; d++) {
                    way[d] = place[i][d] - place[j][d];
                    square += way[d] * way[d];
                }
                double pull = 0.001 / (square * __builtin_sqrt(square));
                for (unsigned d = 0; d < 3; d++) {
                    speed[i][d] -= way[d] * mass[j] * pull;
                    speed[j][d] += way[d] * mass[i] * pull;
                }
            }
        for (unsigned i = 0; i < BODIES; i++)
            for (unsigned d = 0; d < 3; d++)
                place[i][d] += 0.001 * speed[i][d];
    }
    uint64_t hash = 0;
    for (unsigned i = 0; i < BODIES; i++)
        hash = bench_mix(hash, bits(place[i][0]));
    return hash;
}

/* --- x87: a continued fraction and roots in extended precision --- */

static uint64_t x87_round(void *state)
{
    long double sum = 0, value = 1;
    (void)state;
    for (unsigned i = 1; i < 30000; i++) {
        value = 1 / (value + i % 7) + (long double)i * 0.5L;
        sum += value * value - sum / (i + 1);
        __asm__("fsqrt" : "+t"(value));
    }
    uint64_t mantissa;
    memcpy(&mantissa, &sum, sizeof(mantissa));
    return mantissa;
}

/* --- the Mandelbrot set --- */

static uint64_t mandelbrot_round(void *state)
{
    uint64_t sum = 0;
    (void)state;
    for (unsigned row = 0; row < 64; row++)
        for (unsigned column = 0; column < 64; column++) {
            double cr = column / 24.0 - 2, ci = row / 32.0 - 1, zr = 0, zi = 0;
            unsigned steps = 0;
            while (steps < 100 && zr * zr + zi * zi < 4) {
                double next = zr * zr - zi * zi + cr;
                zi = 2 * zr * zi + ci;
                zr = next;
                steps++;
            }
            sum = bench_mix(sum, steps);
        }
    return sum;
}

/* --- spectral norm: division for each element --- */

#define VECTOR 160

static void spectral_step(const double *from, double *to)
{
    for (unsigned i = 0; i < VECTOR; i++) {
        double sum = 0;
        for (unsigned j = 0; j < VECTOR; j++)
            sum += from[j] / ((i + j) * (i + j + 1) / 2 + i + 1);
        to[i] = sum;
    }
}

static uint64_t spectral_round(void *state)
{
    double a[VECTOR], b[VECTOR];
    (void)state;
    for (unsigned i = 0; i < VECTOR; i++)
        a[i] = 1;
    for (unsigned i = 0; i < 4; i++) {
        spectral_step(a, b);
        spectral_step(b, a);
    }
    return bits(a[VECTOR / 2]);
}

/* --- single precision: a filter over samples --- */

static uint64_t filter_round(void *state)
{
    float samples[512], past[4] = {0}, sum = 0;
    (void)state;
    for (unsigned i = 0; i < 512; i++)
        samples[i] = (float)(i % 37) / 37;
    for (unsigned pass = 0; pass < 150; pass++)
        for (unsigned i = 0; i < 512; i++) {
            float out = 0.2f * samples[i] + 0.3f * past[0] - 0.1f * past[1] + 0.05f * past[2] +
                        0.01f * past[3];
            past[3] = past[2];
            past[2] = past[1];
            past[1] = past[0];
            past[0] = out;
            sum = out > sum ? out : sum * 0.999f;
        }
    return bits((double)sum);
}

static const struct bench benches[] = {
    {"matrix_sse2", NULL, matrix_prepare, matrix_sse2_round},
    {"matrix_avx2", has_avx2, matrix_prepare, matrix_avx2_round},
    {"nbody", NULL, NULL, nbody_round},
    {"x87", NULL, NULL, x87_round},
    {"mandelbrot", NULL, NULL, mandelbrot_round},
    {"spectral", NULL, NULL, spectral_round},
    {"filter", NULL, NULL, filter_round},
};
const struct bench_group bench_float = {"float", benches, COUNT_OF(benches)};
