/* What plainwire calls in libbpf.so.1. Signatures: <bpf/libbpf.h>, <bpf/bpf.h>, <bpf/btf.h> of 1.1, and libc's vsnprintf.
 * Functions of later versions are not declared; where one is needed the bpf(2) call is made in kernel/syscalls.py. */

typedef unsigned int __u32; typedef unsigned long long __u64;

typedef int (*print_fn)(int level, const char *format, void *args);
print_fn libbpf_set_print(print_fn fn);
int vsnprintf(char *text, size_t size, const char *format, void *args);

struct bpf_object; struct bpf_program; struct bpf_map; struct bpf_link;
struct bpf_object *bpf_object__open_mem(const void *data, size_t size, const void *opts);
int bpf_object__load(struct bpf_object *object);
void bpf_object__close(struct bpf_object *object);
struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *object, const char *name);
struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *object, const char *name);
struct bpf_map *bpf_object__next_map(const struct bpf_object *object, const struct bpf_map *map);
struct bpf_program *bpf_object__next_program(const struct bpf_object *object, struct bpf_program *program);

struct btf; struct btf_type { __u32 name_off; __u32 info; __u32 size; };
struct btf_var_secinfo { __u32 type; __u32 offset; __u32 size; };
struct btf *bpf_object__btf(const struct bpf_object *object);
int btf__find_by_name(const struct btf *btf, const char *name);
const struct btf_type *btf__type_by_id(const struct btf *btf, __u32 id);
const char *btf__name_by_offset(const struct btf *btf, __u32 offset);

int bpf_map__fd(const struct bpf_map *map);
const char *bpf_map__name(const struct bpf_map *map);
int bpf_map__type(const struct bpf_map *map);
int bpf_map__set_type(struct bpf_map *map, int type);
int bpf_map__set_key_size(struct bpf_map *map, __u32 size);
int bpf_map__set_value_size(struct bpf_map *map, __u32 size);
__u32 bpf_map__key_size(const struct bpf_map *map);
__u32 bpf_map__value_size(const struct bpf_map *map);
int bpf_map__reuse_fd(struct bpf_map *map, int fd);
void *bpf_map__initial_value(struct bpf_map *map, size_t *size);
int bpf_map_create(int type, const char *name, __u32 key_size, __u32 value_size, __u32 max_entries,
                   const void *opts);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags);
int bpf_map_delete_elem(int fd, const void *key);
int bpf_map_get_next_key(int fd, const void *key, void *next_key);

int bpf_program__fd(const struct bpf_program *program);
int bpf_program__set_expected_attach_type(struct bpf_program *program, int type);
int bpf_program__set_autoload(struct bpf_program *program, bool autoload);
struct bpf_link *bpf_program__attach(const struct bpf_program *program);
const char *bpf_program__section_name(const struct bpf_program *program);
struct bpf_link *bpf_program__attach_raw_tracepoint(const struct bpf_program *program, const char *name);

struct bpf_uprobe_opts { size_t sz; size_t ref_ctr_offset; __u64 bpf_cookie; bool retprobe;
                         const char *func_name; };
struct bpf_link *bpf_program__attach_uprobe_opts(const struct bpf_program *program, int pid, const char *path,
                                                 size_t offset, const struct bpf_uprobe_opts *opts);
struct bpf_link *bpf_program__attach_cgroup(const struct bpf_program *program, int cgroup_fd);
struct bpf_link *bpf_program__attach_iter(const struct bpf_program *program, const void *opts);
int bpf_link__fd(const struct bpf_link *link);
int bpf_link__destroy(struct bpf_link *link);
int bpf_iter_create(int link_fd);

struct bpf_tc_hook { size_t sz; int ifindex; int attach_point; __u32 parent; size_t :0; };
struct bpf_tc_opts { size_t sz; int prog_fd; __u32 flags; __u32 prog_id; __u32 handle; __u32 priority;
                     size_t :0; };
int bpf_tc_hook_create(struct bpf_tc_hook *hook);
int bpf_tc_hook_destroy(struct bpf_tc_hook *hook);
int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts);
int bpf_tc_detach(const struct bpf_tc_hook *hook, const struct bpf_tc_opts *opts);

struct ring_buffer;
typedef int (*ring_buffer_sample_fn)(void *context, void *data, size_t size);
struct ring_buffer *ring_buffer__new(int map_fd, ring_buffer_sample_fn callback, void *context, const void *opts);
void ring_buffer__free(struct ring_buffer *ring);
int ring_buffer__consume(struct ring_buffer *ring);
int ring_buffer__epoll_fd(const struct ring_buffer *ring);

struct perf_buffer;
struct perf_event_header { __u32 type; unsigned short misc; unsigned short size; };
typedef int (*perf_buffer_event_fn)(void *context, int cpu, struct perf_event_header *event);
struct perf_buffer *perf_buffer__new_raw(int map_fd, size_t page_count, void *attr, perf_buffer_event_fn callback,
                                         void *context, const void *opts);
void perf_buffer__free(struct perf_buffer *buffer);
int perf_buffer__consume(struct perf_buffer *buffer);
