/*
 * A Vulkan layer between a program and its driver that makes the GPU fail when it is told to: what a driver's reset, an
 * unplugged GPU or a display server that lets a window go look like to the program. Everything else passes through.
 *
 * It is told by the file that RX_GPU_FAULTS names, which it takes away when it does what the file says:
 *   d      the device is lost with the next work, and stays lost
 *   d3     the same, and the next three tries to open one fail
 *   s      the surface is lost with the next frame
 *   o      the surface is out of date with the next frame
 *   m      there is no memory for the next image of at least 640 columns
 *
 * Structures and numbers: the Vulkan specification, and the loader's interface to layers (LoaderLayerInterface.md).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void *Handle;
typedef int32_t Result;
typedef void (*Any)(void);
typedef Any (*Lookup)(Handle, const char *);

struct Base {
	int32_t type;
	const struct Base *next;
};

struct InstanceLink {
	struct InstanceLink *next;
	Lookup instance;
	Lookup physical_device;
};

struct DeviceLink {
	struct DeviceLink *next;
	Lookup instance;
	Lookup device;
};

/* What the loader hands to a layer: function 0 holds the link to the next one. */
struct InstanceInfo {
	struct Base base;
	int32_t function;
	struct InstanceLink *link;
};

struct DeviceInfo {
	struct Base base;
	int32_t function;
	struct DeviceLink *link;
};

enum { INSTANCE_INFO = 47, DEVICE_INFO = 48 };
enum { OUT_OF_DEVICE_MEMORY = -2, INITIALIZATION_FAILED = -3, DEVICE_LOST = -4, SURFACE_LOST = -1000000000, OUT_OF_DATE = -1000001004 };

static Handle instance;
static Lookup next_instance, next_device;
static Handle lost_queue;
static int refusals;

/* The order in the file, if it is one of those in `of`. */
static char order(const char *of)
{
	const char *path = getenv("RX_GPU_FAULTS");
	FILE *file = path ? fopen(path, "r") : NULL;
	int what, count;

	if (!file)
		return 0;
	what = fgetc(file);
	count = fgetc(file);
	fclose(file);
	if (what == EOF || !strchr(of, what))
		return 0;
	unlink(path);
	if (count >= '0' && count <= '9')
		refusals = count - '0';
	return (char)what;
}

typedef Result (*Submit)(Handle, uint32_t, const void *, uint64_t);
typedef Result (*Acquire)(Handle, uint64_t, uint64_t, uint64_t, uint64_t, uint32_t *);

/* One driver at a time, so these are the same for every device. */
typedef Result (*CreateImage)(Handle, const void *, const void *, uint64_t *);

static Submit next_submit;
static CreateImage next_create_image;
static Acquire next_acquire;

static Result submit(Handle queue, uint32_t count, const void *submits, uint64_t fence)
{
	if (queue != lost_queue && order("d"))
		lost_queue = queue;
	return queue == lost_queue ? DEVICE_LOST : next_submit(queue, count, submits, fence);
}

static Result acquire(Handle device, uint64_t chain, uint64_t timeout, uint64_t semaphore, uint64_t fence, uint32_t *image)
{
	switch (order("so")) {
	case 's':
		return SURFACE_LOST;
	case 'o':
		return OUT_OF_DATE;
	}
	return next_acquire(device, chain, timeout, semaphore, fence, image);
}

/* VkImageCreateInfo up to what is looked at. */
struct ImageInfo {
	struct Base base;
	uint32_t flags, type, format, width;
};

static Result create_image(Handle device, const void *info, const void *allocator, uint64_t *out)
{
	if (((const struct ImageInfo *)info)->width >= 640 && order("m"))
		return OUT_OF_DEVICE_MEMORY;
	return next_create_image(device, info, allocator, out);
}

static Result create_instance(const struct Base *info, const void *allocator, Handle *out)
{
	typedef Result (*Next)(const struct Base *, const void *, Handle *);
	Result result;

	for (const struct Base *p = info->next; p; p = p->next) {
		struct InstanceInfo *found = (struct InstanceInfo *)p;
		if (p->type != INSTANCE_INFO || found->function != 0)
			continue;
		next_instance = found->link->instance;
		found->link = found->link->next;
		result = ((Next)next_instance(NULL, "vkCreateInstance"))(info, allocator, out);
		if (result == 0)
			instance = *out;
		return result;
	}
	return INITIALIZATION_FAILED;
}

static Result create_device(Handle physical, const struct Base *info, const void *allocator, Handle *out)
{
	typedef Result (*Next)(Handle, const struct Base *, const void *, Handle *);
	Result result;

	if (refusals > 0) {
		refusals--;
		return INITIALIZATION_FAILED;
	}
	for (const struct Base *p = info->next; p; p = p->next) {
		struct DeviceInfo *found = (struct DeviceInfo *)p;
		if (p->type != DEVICE_INFO || found->function != 0)
			continue;
		next_device = found->link->device;
		Lookup lookup = found->link->instance;
		found->link = found->link->next;
		result = ((Next)lookup(instance, "vkCreateDevice"))(physical, info, allocator, out);
		if (result == 0) {
			next_submit = (Submit)next_device(*out, "vkQueueSubmit");
			next_create_image = (CreateImage)next_device(*out, "vkCreateImage");
			next_acquire = (Acquire)next_device(*out, "vkAcquireNextImageKHR");
			/* The new one may have its queue where the lost one had it. */
			lost_queue = NULL;
		}
		return result;
	}
	return INITIALIZATION_FAILED;
}

__attribute__((visibility("default"))) Any vkGetDeviceProcAddr(Handle device, const char *name)
{
	if (!strcmp(name, "vkGetDeviceProcAddr"))
		return (Any)vkGetDeviceProcAddr;
	if (!strcmp(name, "vkQueueSubmit"))
		return (Any)submit;
	if (!strcmp(name, "vkCreateImage"))
		return (Any)create_image;
	if (!strcmp(name, "vkAcquireNextImageKHR"))
		return next_device(device, name) ? (Any)acquire : NULL;
	return next_device(device, name);
}

__attribute__((visibility("default"))) Any vkGetInstanceProcAddr(Handle of, const char *name)
{
	if (!strcmp(name, "vkGetInstanceProcAddr"))
		return (Any)vkGetInstanceProcAddr;
	if (!strcmp(name, "vkCreateInstance"))
		return (Any)create_instance;
	if (!strcmp(name, "vkCreateDevice"))
		return (Any)create_device;
	if (!strcmp(name, "vkGetDeviceProcAddr"))
		return (Any)vkGetDeviceProcAddr;
	return next_instance ? next_instance(of, name) : NULL;
}
