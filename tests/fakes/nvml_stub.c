/*
 * A stub of the NVML library: the functions that monitoring programs call, answered from a small text file.
 * NVML_STUB_STATE names the file, which is reread whenever it changes. Grammar, one rule per line:
 *
 *   driver VERSION
 *   count N                           number of GPUs
 *   order S0 S1 ...                   slot of index 0, 1, ...
 *   gpu SLOT KEY VALUE                VALUE runs to the end of the line
 *   error FUNCTION SLOT CODE          FUNCTION and SLOT may be "*"
 *   hang FUNCTION SLOT SECONDS        ends early when the rule is removed from the file
 *
 * Power is constant (period_ms 0) or a square wave on CLOCK_MONOTONIC: low in the first half of each period, high in
 * the second. The energy counter is the exact integral of that wave since the clock's zero, plus offset_mj.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_GPUS 128
#define MAX_RULES 64
#define TEXT 96

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, TIMED_OUT = 10, LOST = 15, UNKNOWN = 999 };

typedef unsigned int uint;
typedef unsigned long long ull;

struct gpu {
    char uuid[TEXT], product[TEXT], serial[TEXT];
    ull low_mw, high_mw, period_ms, step_ms, limit_mw, memory_used, memory_total, mask;
    long long offset_mj;
    uint counter, percent, celsius, megahertz, lost, module, gpu_share_percent, xid, xid_count;
};

struct rule {
    char function[TEXT];
    int slot; /* -1: any */
    double value;
};

static struct {
    char driver[TEXT];
    uint count, order[MAX_GPUS];
    struct gpu gpus[MAX_GPUS];
    struct rule errors[MAX_RULES], hangs[MAX_RULES];
    uint error_count, hang_count;
} state;

static char anchors[MAX_GPUS]; /* a handle is the address of its slot's anchor */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stat seen;
static int initialized;

/* ---- the state file ---- */

static void set_text(char *target, const char *value) { snprintf(target, TEXT, "%s", value); }

static void set_gpu(struct gpu *g, const char *key, const char *value) {
    ull number = strtoull(value, NULL, 0);
    if (!strcmp(key, "uuid")) set_text(g->uuid, value);
    else if (!strcmp(key, "product")) set_text(g->product, value);
    else if (!strcmp(key, "serial")) set_text(g->serial, value);
    else if (!strcmp(key, "low_mw")) g->low_mw = number;
    else if (!strcmp(key, "high_mw")) g->high_mw = number;
    else if (!strcmp(key, "period_ms")) g->period_ms = number;
    else if (!strcmp(key, "step_ms")) g->step_ms = number;
    else if (!strcmp(key, "offset_mj")) g->offset_mj = strtoll(value, NULL, 0);
    else if (!strcmp(key, "limit_mw")) g->limit_mw = number;
    else if (!strcmp(key, "memory_used")) g->memory_used = number;
    else if (!strcmp(key, "memory_total")) g->memory_total = number;
    else if (!strcmp(key, "mask")) g->mask = number;
    else if (!strcmp(key, "counter")) g->counter = number;
    else if (!strcmp(key, "percent")) g->percent = number;
    else if (!strcmp(key, "celsius")) g->celsius = number;
    else if (!strcmp(key, "megahertz")) g->megahertz = number;
    else if (!strcmp(key, "lost")) g->lost = number;
    else if (!strcmp(key, "module")) g->module = number;
    else if (!strcmp(key, "gpu_share_percent")) g->gpu_share_percent = number;
    else if (!strcmp(key, "xid")) g->xid = number;
    else if (!strcmp(key, "xid_count")) g->xid_count = number;
}

static void add_rule(struct rule *rules, uint *count, const char *rest) {
    char slot[16];
    if (*count >= MAX_RULES) return;
    struct rule *rule = &rules[*count];
    if (sscanf(rest, "%95s %15s %lf", rule->function, slot, &rule->value) != 3) return;
    rule->slot = strcmp(slot, "*") ? atoi(slot) : -1;
    *count += 1;
}

static void parse_order(const char *rest) {
    char *end;
    for (uint index = 0; index < MAX_GPUS; index++, rest = end) {
        ull slot = strtoull(rest, &end, 10);
        if (end == rest || slot >= MAX_GPUS) return;
        state.order[index] = (uint)slot;
    }
}

static void parse_line(char *line) {
    char word[16], key[32];
    int used = 0, slot;
    line[strcspn(line, "\n")] = 0;
    if (sscanf(line, "%15s %n", word, &used) != 1) return;
    char *rest = line + used;
    if (!strcmp(word, "driver")) set_text(state.driver, rest);
    else if (!strcmp(word, "count")) state.count = (uint)atoi(rest) < MAX_GPUS ? (uint)atoi(rest) : MAX_GPUS;
    else if (!strcmp(word, "order")) parse_order(rest);
    else if (!strcmp(word, "error")) add_rule(state.errors, &state.error_count, rest);
    else if (!strcmp(word, "hang")) add_rule(state.hangs, &state.hang_count, rest);
    else if (!strcmp(word, "gpu") && sscanf(rest, "%d %31s %n", &slot, key, &used) == 2 && slot >= 0 && slot < MAX_GPUS)
        set_gpu(&state.gpus[slot], key, rest + used);
}

static void refresh(void) {
    const char *path = getenv("NVML_STUB_STATE");
    struct stat now;
    char line[256];
    if (!path || stat(path, &now)) return;
    if (now.st_ino == seen.st_ino && now.st_size == seen.st_size && now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec &&
        now.st_mtim.tv_sec == seen.st_mtim.tv_sec)
        return;
    FILE *file = fopen(path, "r");
    if (!file) return;
    memset(&state, 0, sizeof state);
    for (uint i = 0; i < MAX_GPUS; i++) state.order[i] = i;
    while (fgets(line, sizeof line, file)) parse_line(line);
    fclose(file);
    seen = now;
}

/* ---- time, power, energy ---- */

static ull now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ull)t.tv_sec * 1000000000ull + (ull)t.tv_nsec;
}

static ull power_mw(const struct gpu *g, ull ns) {
    ull period = g->period_ms * 1000000ull;
    if (!period) return g->low_mw;
    return ns % period < period / 2 ? g->low_mw : g->high_mw;
}

static ull energy_mj(const struct gpu *g, ull ns) {
    ull period = g->period_ms * 1000000ull, step = g->step_ms * 1000000ull, half = period / 2;
    if (step) ns -= ns % step;
    ull low_ns = ns, high_ns = 0;
    if (period) {
        ull rest = ns % period;
        low_ns = ns / period * half + (rest < half ? rest : half);
        high_ns = ns - low_ns;
    }
    __int128 picojoules = (__int128)g->low_mw * low_ns + (__int128)g->high_mw * high_ns;
    return (ull)((long long)(picojoules / 1000000000) + g->offset_mj);
}

/* ---- checks shared by every call ---- */

static const struct rule *find(const struct rule *rules, uint count, const char *function, int slot) {
    for (uint i = 0; i < count; i++)
        if ((!strcmp(rules[i].function, "*") || !strcmp(rules[i].function, function)) &&
            (rules[i].slot < 0 || rules[i].slot == slot))
            return &rules[i];
    return NULL;
}

static void hang(const char *function, int slot) {
    const ull began = now_ns();
    for (;;) {
        const struct rule *rule = find(state.hangs, state.hang_count, function, slot);
        if (!rule || now_ns() - began > (ull)(rule->value * 1e9)) return;
        pthread_mutex_unlock(&lock);
        usleep(10000);
        pthread_mutex_lock(&lock);
        refresh();
    }
}

static int enter(const char *function, int slot, int needs_init) {
    refresh();
    if (state.hang_count) hang(function, slot);
    const struct rule *rule = state.error_count ? find(state.errors, state.error_count, function, slot) : NULL;
    if (rule) return (int)rule->value;
    if (needs_init && !initialized) return UNINITIALIZED;
    return slot >= 0 && state.gpus[slot].lost ? LOST : OK;
}

static int slot_of(const void *handle) {
    const char *anchor = handle;
    return anchor >= anchors && anchor < anchors + MAX_GPUS ? (int)(anchor - anchors) : -1;
}

/* Runs its body under the lock with `g` as the GPU of `device`, unless the state file makes the call fail. */
#define ON_GPU(body)                                              \
    {                                                             \
        int slot = slot_of(device);                               \
        if (slot < 0) return INVALID;                             \
        pthread_mutex_lock(&lock);                                \
        int code = enter(__func__, slot, 1);                      \
        const struct gpu *g = &state.gpus[slot];                  \
        (void)g;                                                  \
        if (code == OK) body;                                     \
        pthread_mutex_unlock(&lock);                              \
        return code;                                              \
    }

#define ON_SYSTEM(needs_init, body)                               \
    {                                                             \
        pthread_mutex_lock(&lock);                                \
        int code = enter(__func__, -1, needs_init);               \
        if (code == OK) body;                                     \
        pthread_mutex_unlock(&lock);                              \
        return code;                                              \
    }

static int put_text(char *target, uint length, const char *value) {
    if (strlen(value) >= length) return TOO_SMALL;
    strcpy(target, value);
    return OK;
}

typedef void *device_t;

/* ---- the library and the driver ---- */

int nvmlInitWithFlags(uint flags) ON_SYSTEM(0, { (void)flags; initialized++; })
int nvmlInit_v2(void) ON_SYSTEM(0, initialized++)
int nvmlShutdown(void) ON_SYSTEM(1, initialized--)
const char *nvmlErrorString(int code) { (void)code; return "stub error"; }
int nvmlSystemGetDriverVersion(char *text, uint length) ON_SYSTEM(1, code = put_text(text, length, state.driver))
int nvmlSystemGetNVMLVersion(char *text, uint length) ON_SYSTEM(1, code = put_text(text, length, "12.570.86.15"))
int nvmlSystemGetCudaDriverVersion(int *version) ON_SYSTEM(1, *version = 12080)
int nvmlSystemGetCudaDriverVersion_v2(int *version) ON_SYSTEM(1, *version = 12080)
int nvmlDeviceGetCount_v2(uint *count) ON_SYSTEM(1, *count = state.count)

/* ---- finding GPUs ---- */

int nvmlDeviceGetHandleByIndex_v2(uint index, device_t *device) {
    pthread_mutex_lock(&lock);
    refresh();
    int known = index < state.count, slot = known ? (int)state.order[index] : -1;
    int code = enter(__func__, slot, 1);
    if (code == OK && !known) code = INVALID;
    if (code == OK) *device = &anchors[slot];
    pthread_mutex_unlock(&lock);
    return code;
}

static int matches(int by_bus, uint slot, const char *wanted) {
    char bus[32];
    snprintf(bus, sizeof bus, "%08X:%02X:00.0", 0, slot + 1);
    return !strcasecmp(by_bus ? bus : state.gpus[slot].uuid, wanted);
}

static int by_name(int by_bus, const char *wanted, device_t *device) {
    for (uint index = 0; index < state.count; index++) {
        uint slot = state.order[index];
        if (!matches(by_bus, slot, wanted)) continue;
        *device = &anchors[slot];
        return OK;
    }
    return NOT_FOUND;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, device_t *device) ON_SYSTEM(1, code = by_name(0, uuid, device))
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, device_t *device) ON_SYSTEM(1, code = by_name(1, bus, device))

static uint index_of(uint slot) {
    uint index = 0;
    while (index < state.count && state.order[index] != slot) index++;
    return index;
}

int nvmlDeviceGetIndex(device_t device, uint *index) ON_GPU(*index = index_of((uint)slot))
int nvmlDeviceGetUUID(device_t device, char *text, uint length) ON_GPU(code = put_text(text, length, g->uuid))
int nvmlDeviceGetName(device_t device, char *text, uint length) ON_GPU(code = put_text(text, length, g->product))
int nvmlDeviceGetSerial(device_t device, char *text, uint length)
    ON_GPU(code = *g->serial ? put_text(text, length, g->serial) : UNSUPPORTED)

struct pci {
    char legacy[16];
    uint domain, bus, device, id, subsystem;
    char bus_id[32];
};

static void fill_pci(struct pci *pci, int slot) {
    memset(pci, 0, sizeof *pci);
    pci->bus = (uint)slot + 1;
    snprintf(pci->legacy, sizeof pci->legacy, "0000:%02X:00.0", (uint)slot + 1);
    snprintf(pci->bus_id, sizeof pci->bus_id, "%08X:%02X:00.0", 0, (uint)slot + 1);
}

int nvmlDeviceGetPciInfo_v3(device_t device, struct pci *pci) ON_GPU(fill_pci(pci, slot))

/* ---- power and energy ---- */

static int total_energy(const struct gpu *g, ull *millijoules) {
    if (!g->counter) return UNSUPPORTED;
    *millijoules = energy_mj(g, now_ns());
    return OK;
}

int nvmlDeviceGetTotalEnergyConsumption(device_t device, ull *millijoules) ON_GPU(code = total_energy(g, millijoules))
int nvmlDeviceGetPowerUsage(device_t device, uint *milliwatts) ON_GPU(*milliwatts = (uint)power_mw(g, now_ns()))
int nvmlDeviceGetEnforcedPowerLimit(device_t device, uint *milliwatts) ON_GPU(*milliwatts = (uint)g->limit_mw)
int nvmlDeviceGetPowerManagementLimit(device_t device, uint *milliwatts) ON_GPU(*milliwatts = (uint)g->limit_mw)
int nvmlDeviceGetPowerManagementDefaultLimit(device_t device, uint *milliwatts) ON_GPU(*milliwatts = (uint)g->limit_mw)

struct field {
    uint id, scope;
    long long timestamp, latency;
    int type, code;
    union {
        double real;
        uint small;
        ull large;
    } value;
};

static void put_uint(struct field *field, ull value) { field->type = 1, field->code = OK, field->value.small = (uint)value; }
static void put_ull(struct field *field, ull value) { field->type = 3, field->code = OK, field->value.large = value; }

static void fill_field(const struct gpu *g, struct field *field) {
    ull millijoules = 0;
    int counted = total_energy(g, &millijoules) == OK;
    field->code = UNSUPPORTED;
    if (field->id == 83 && counted) put_ull(field, millijoules);
    if (field->id == 191 && counted && field->scope == 0) put_ull(field, millijoules / 100 * g->gpu_share_percent);
    if (field->id == 191 && counted && field->scope == 1 && g->module) put_ull(field, millijoules);
    if (field->id == 82) put_uint(field, g->celsius + 9); /* memory temperature */
    if ((field->id == 185 || field->id == 186) && field->scope == 0) put_uint(field, power_mw(g, now_ns()));
}

static void fill_fields(const struct gpu *g, int count, struct field *fields) {
    for (int i = 0; i < count; i++) fill_field(g, &fields[i]);
}

int nvmlDeviceGetFieldValues(device_t device, int count, struct field *fields) ON_GPU(fill_fields(g, count, fields))

/* ---- load ---- */

struct memory { ull total, free, used; };
struct memory_v2 { uint version; ull total, reserved, free, used; };
struct pair { uint first, second; };
struct temperature { uint version, sensor; int celsius; };

int nvmlDeviceGetUtilizationRates(device_t device, struct pair *rates)
    ON_GPU({ rates->first = g->percent; rates->second = g->percent / 2; })
int nvmlDeviceGetMemoryInfo(device_t device, struct memory *memory)
    ON_GPU({
        memory->total = g->memory_total;
        memory->used = g->memory_used + (512ull << 20);
        memory->free = memory->total - memory->used;
    })
int nvmlDeviceGetMemoryInfo_v2(device_t device, struct memory_v2 *memory)
    ON_GPU({
        memory->total = g->memory_total;
        memory->reserved = 512ull << 20;
        memory->used = g->memory_used;
        memory->free = memory->total - memory->used - memory->reserved;
    })
int nvmlDeviceGetTemperature(device_t device, int sensor, uint *celsius) ON_GPU({ (void)sensor; *celsius = g->celsius; })
int nvmlDeviceGetTemperatureV(device_t device, struct temperature *answer) ON_GPU(answer->celsius = (int)g->celsius)
int nvmlDeviceGetClockInfo(device_t device, int kind, uint *megahertz)
    ON_GPU(*megahertz = kind == 2 ? 2619 : g->megahertz)
int nvmlDeviceGetMaxClockInfo(device_t device, int kind, uint *megahertz) ON_GPU(*megahertz = kind == 2 ? 2619 : 1980)
int nvmlDeviceGetCurrentClocksEventReasons(device_t device, ull *mask) ON_GPU(*mask = g->mask)
int nvmlDeviceGetCurrentClocksThrottleReasons(device_t device, ull *mask) ON_GPU(*mask = g->mask)

/* ---- events: one for each increase of xid_count after the registration; waiting never blocks ---- */

struct listener { int slot; uint reported; };
struct event { device_t device; ull type, number; uint gpu_instance, compute_instance; };

static int listen_to(struct listener *listener, int slot, const struct gpu *g, ull types) {
    if (!(types & 8)) return INVALID;
    listener->slot = slot;
    listener->reported = g->xid_count;
    return OK;
}

static int next_event(struct listener *listener, struct event *event) {
    if (listener->slot < 0) return TIMED_OUT;
    const struct gpu *g = &state.gpus[listener->slot];
    if (listener->reported >= g->xid_count) return TIMED_OUT;
    listener->reported++;
    *event = (struct event){.device = &anchors[listener->slot], .type = 8, .number = g->xid};
    return OK;
}

int nvmlEventSetCreate(struct listener **listener)
    ON_SYSTEM(1, { *listener = calloc(1, sizeof **listener); (*listener)->slot = -1; })
int nvmlDeviceRegisterEvents(device_t device, ull types, struct listener *listener)
    ON_GPU(code = listen_to(listener, slot, g, types))
int nvmlEventSetWait_v2(struct listener *listener, struct event *event, uint timeout_ms)
    ON_SYSTEM(1, { (void)timeout_ms; code = next_event(listener, event); })
int nvmlEventSetFree(struct listener *listener) ON_SYSTEM(1, free(listener))

/* ---- calls of other exporters ---- */

int nvmlDeviceGetBAR1MemoryInfo(device_t device, struct memory *memory)
    ON_GPU({ memory->total = 128ull << 30; memory->used = 3ull << 20; memory->free = memory->total - memory->used; })
int nvmlDeviceGetEncoderUtilization(device_t device, uint *percent, uint *period) ON_GPU({ *percent = 0; *period = 167000; })
int nvmlDeviceGetDecoderUtilization(device_t device, uint *percent, uint *period) ON_GPU({ *percent = 0; *period = 167000; })
int nvmlDeviceGetFanSpeed(device_t device, uint *percent) ON_GPU({ (void)percent; code = UNSUPPORTED; })
int nvmlDeviceGetPcieThroughput(device_t device, int counter, uint *kilobytes)
    ON_GPU({ (void)counter; *kilobytes = 1024; })
int nvmlDeviceGetPerformanceState(device_t device, int *number) ON_GPU(*number = 0)
int nvmlDeviceGetTotalEccErrors(device_t device, int kind, int counter, ull *errors)
    ON_GPU({ (void)kind; (void)counter; *errors = 0; })
int nvmlDeviceGetComputeMode(device_t device, int *mode) ON_GPU(*mode = 0)
int nvmlDeviceGetPersistenceMode(device_t device, int *mode) ON_GPU(*mode = 1)
int nvmlDeviceGetDisplayActive(device_t device, int *active) ON_GPU(*active = 0)
int nvmlDeviceGetDisplayMode(device_t device, int *mode) ON_GPU(*mode = 0)
int nvmlDeviceGetCudaComputeCapability(device_t device, int *major, int *minor) ON_GPU({ *major = 9; *minor = 0; })
int nvmlDeviceIsMigDeviceHandle(device_t device, uint *is_slice) ON_GPU(*is_slice = 0)
int nvmlDeviceGetMigMode(device_t device, uint *current, uint *pending) ON_GPU({ *current = 0; *pending = 0; })
int nvmlDeviceGetMaxMigDeviceCount(device_t device, uint *count) ON_GPU(*count = 7)
int nvmlDeviceGetComputeRunningProcesses_v3(device_t device, uint *count, void *found) ON_GPU({ (void)found; *count = 0; })
int nvmlDeviceGetGraphicsRunningProcesses_v3(device_t device, uint *count, void *found) ON_GPU({ (void)found; *count = 0; })
int nvmlDeviceGetProcessUtilization(device_t device, void *samples, uint *count, ull since)
    ON_GPU({ (void)samples; (void)since; *count = 0; })
