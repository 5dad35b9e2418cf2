/* Runs a program and does something at its n-th system call, counted over all of its threads and processes.
 *
 *   inject run REPORT BELOW CALLS WHEN ACTION -- PROGRAM ARGUMENT...
 *   inject cut MOUNT
 *
 * A seccomp filter hands the listed calls to this supervisor before the kernel does them, so it does not matter
 * whether they come from libc or straight from the program, and one counter sees them in one order.
 *
 * REPORT  gets "child PID", then a line "count CALL N" for each kind of call, and "hit CALL N PATH" for each that was tampered with
 * BELOW   only calls on paths that start with this count; "-" for all but those of the dynamic loader and on
 *         standard error, which has to say what went wrong
 * CALLS   names separated by commas
 * WHEN    0 counts only; 7 is the seventh call alone; 7+ is it and every later one
 * ACTION  error:N   nothing is done and errno N returned
 *         late:N    the call is done and errno N returned
 *         lie       nothing is done and success returned
 *         short     half of the bytes are read or written
 *         kill      SIGKILL instead
 *         stop      SIGSTOP; the call is done after SIGCONT
 *         cut:M     the file system mounted at M loses power, then the program is killed
 *         fade:M    the same, but the program goes on
 *
 * "cut" alone drops what a mounted ext4 or XFS has not synced and lets it do nothing any more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum shape {
    NOTHING,     /* no path to tell */
    FD,          /* acts on the file descriptor in the first argument */
    TRANSFER,    /* the same, with a buffer and its length after it */
    PATH,        /* the first argument is a path */
    PATHS,       /* the first two are */
    AT,          /* a folder's descriptor and a path */
    ATS,         /* two of those */
};

struct call {
    const char *name;
    int number;
    enum shape shape;
    int is_wanted;
    long seen;
};

#define CALL(name, shape) {#name, __NR_##name, shape, 0, 0}
static struct call calls[] = {
#ifdef __NR_open
    CALL(open, PATH), CALL(rename, PATHS), CALL(link, PATHS), CALL(unlink, PATH), CALL(mkdir, PATH),
    CALL(rmdir, PATH), CALL(readlink, PATH), CALL(stat, PATH), CALL(lstat, PATH), CALL(chmod, PATH),
#endif
    CALL(openat, AT), CALL(renameat, ATS), CALL(renameat2, ATS), CALL(linkat, ATS), CALL(unlinkat, AT),
    CALL(mkdirat, AT), CALL(symlinkat, NOTHING), CALL(mknodat, AT), CALL(readlinkat, AT), CALL(newfstatat, AT),
    CALL(statx, AT), CALL(fchmodat, AT), CALL(fchownat, AT), CALL(utimensat, AT),
    CALL(read, TRANSFER), CALL(pread64, TRANSFER), CALL(write, TRANSFER), CALL(pwrite64, TRANSFER),
    CALL(readv, FD), CALL(writev, FD), CALL(fsync, FD), CALL(fdatasync, FD), CALL(syncfs, FD), CALL(ftruncate, FD),
    CALL(fallocate, FD), CALL(getdents64, FD), CALL(fstat, FD), CALL(lseek, FD), CALL(flock, FD), CALL(fcntl, FD),
    CALL(fadvise64, FD), CALL(fchmod, FD), CALL(fchown, FD), CALL(fsetxattr, FD), CALL(fgetxattr, FD),
    CALL(flistxattr, FD), CALL(copy_file_range, FD), CALL(close, FD),
    CALL(lsetxattr, PATH), CALL(lgetxattr, PATH), CALL(llistxattr, PATH),
    CALL(mmap, NOTHING), CALL(clone3, NOTHING), CALL(getrandom, NOTHING),
};
enum { CALL_COUNT = sizeof calls / sizeof *calls, PATH_LEN = 8192, COPY_LEN = 1 << 20 };

static FILE *report;
static pid_t child;

static void die(const char *what) {
    fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
    if (child > 0) kill(child, SIGKILL);
    exit(99);
}

static int cut(const char *mount) {
    unsigned flag = 2; /* without flushing the journal */
    int fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    int done = ioctl(fd, 0x8004587d, &flag);
    close(fd);
    return done;
}

static struct call *find(const char *name, size_t len) {
    for (int i = 0; i < CALL_COUNT; i++)
        if (strlen(calls[i].name) == len && !memcmp(calls[i].name, name, len)) return &calls[i];
    return NULL;
}

static struct call *of_number(int number) {
    for (int i = 0; i < CALL_COUNT; i++)
        if (calls[i].number == number) return &calls[i];
    return NULL;
}

/* Names that another processor does not have are never seen. */
static void choose(const char *names) {
    for (const char *name = names; *name;) {
        size_t len = strcspn(name, ",");
        struct call *call = find(name, len);
        if (call) call->is_wanted = 1;
        name += len + (name[len] == ',');
    }
}

/* In the child: hands the chosen calls to whoever reads the returned descriptor, and `openat`, which tells when the
 * program begins. */
static int install(void) {
    static struct sock_filter filter[CALL_COUNT + 3];
    int count = 0, wanted = 0, numbers[CALL_COUNT];
    for (int i = 0; i < CALL_COUNT; i++)
        if (calls[i].is_wanted || calls[i].number == __NR_openat) numbers[wanted++] = calls[i].number;
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < wanted; i++)
        filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, numbers[i], wanted - i, 0);
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog program = {count, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
    return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static int text_of(pid_t pid, unsigned long address, char *text, size_t len) {
    struct iovec local = {text, len - 1}, remote = {(void *)address, len - 1};
    ssize_t got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (got < 0) { /* it stands at the end of a page, after which there is nothing */
        remote.iov_len = 4096 - address % 4096;
        if (remote.iov_len > len - 1) remote.iov_len = len - 1;
        got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    }
    if (got < 0) return -1;
    text[got] = 0;
    return 0;
}

static void path_of_fd(pid_t pid, int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, fd == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", pid, fd);
    ssize_t len = readlink(link, path, PATH_LEN - 1);
    path[len < 0 ? 0 : len] = 0;
}

static void path_at(pid_t pid, int fd, unsigned long address, char *path) {
    static char name[PATH_LEN];
    if (!address || text_of(pid, address, name, sizeof name)) name[0] = 0;
    if (name[0] == '/') {
        strcpy(path, name);
        return;
    }
    path_of_fd(pid, fd, path);
    if (!name[0]) return;
    size_t len = strlen(path);
    snprintf(path + len, PATH_LEN - len, "/%s", name);
}

static void describe(const struct seccomp_notif *request, const struct call *call, char *path, char *other) {
    const __u64 *a = request->data.args;
    path[0] = other[0] = 0;
    switch (call->shape) {
    case NOTHING: break;
    case FD:
    case TRANSFER: path_of_fd(request->pid, (int)a[0], path); break;
    case PATH: path_at(request->pid, AT_FDCWD, a[0], path); break;
    case PATHS: path_at(request->pid, AT_FDCWD, a[0], path); path_at(request->pid, AT_FDCWD, a[1], other); break;
    case AT: path_at(request->pid, (int)a[0], a[1], path); break;
    case ATS: path_at(request->pid, (int)a[0], a[1], path); path_at(request->pid, (int)a[2], a[3], other); break;
    }
}

static int starts_with(const char *text, const char *start) { return !strncmp(text, start, strlen(start)); }

static int is_file(pid_t pid, int fd) {
    char link[64];
    struct stat stat_of_file;
    snprintf(link, sizeof link, "/proc/%d/fd/%d", pid, fd);
    return !stat(link, &stat_of_file) && S_ISREG(stat_of_file.st_mode);
}

/* Whether a call belongs to the program and not to its start, and concerns what is asked for. */
static int counts(const struct seccomp_notif *request, const struct call *call, const char *path, const char *below) {
    static int has_started;
    if (call->shape == FD || call->shape == TRANSFER)
        if ((int)request->data.args[0] == 2) return 0;
    if (call->shape == NOTHING) return has_started && !strcmp(below, "-");
    /* Closing a folder cannot fail, and Rust's library takes it for a defect if it does. */
    if (!strcmp(call->name, "close") && !is_file(request->pid, (int)request->data.args[0])) return 0;
    if (starts_with(path, "/lib") || starts_with(path, "/usr/lib") || starts_with(path, "/etc/ld.so")) return 0;
    if (!has_started && !starts_with(path, "/")) return 0;
    if (!has_started && call->shape == AT && starts_with(path, "/proc/")) return 0;
    has_started = 1;
    return call->is_wanted && (!strcmp(below, "-") || starts_with(path, below));
}

/* Moves half of the bytes between the program's buffer and the file, at the program's own file position. */
static long transfer(const struct seccomp_notif *request, const struct call *call, size_t len) {
    static char bytes[COPY_LEN];
    const __u64 *a = request->data.args;
    int process = syscall(__NR_pidfd_open, child, 0);
    int fd = process < 0 ? -1 : syscall(__NR_pidfd_getfd, process, (int)a[0], 0);
    if (process >= 0) close(process);
    if (fd < 0) return -EBADF;
    if (len > sizeof bytes) len = sizeof bytes;
    struct iovec local = {bytes, len}, remote = {(void *)a[1], len};
    long done = -EFAULT;
    int is_write = !strcmp(call->name, "write") || !strcmp(call->name, "pwrite64");
    if (!is_write || process_vm_readv(request->pid, &local, 1, &remote, 1, 0) == (ssize_t)len) {
        if (!strcmp(call->name, "write")) done = write(fd, bytes, len);
        if (!strcmp(call->name, "pwrite64")) done = pwrite(fd, bytes, len, a[3]);
        if (!strcmp(call->name, "read")) done = read(fd, bytes, len);
        if (!strcmp(call->name, "pread64")) done = pread(fd, bytes, len, a[3]);
        if (done < 0) done = -errno;
    }
    close(fd);
    if (!is_write && done > 0) {
        local.iov_len = remote.iov_len = done;
        if (process_vm_writev(request->pid, &local, 1, &remote, 1, 0) != done) done = -EFAULT;
    }
    return done;
}

/* Does what the call asks for on behalf of the program. A call that cannot be done here fails without being done. */
static void perform(const struct seccomp_notif *request, const struct call *call, const char *path, const char *to) {
    const __u64 *a = request->data.args;
    const char *name = call->name;
    int process, fd;
    if (call->shape == TRANSFER) transfer(request, call, a[2]);
    else if (!strcmp(name, "rename") || !strcmp(name, "renameat")) rename(path, to);
    else if (!strcmp(name, "renameat2")) renameat2(AT_FDCWD, path, AT_FDCWD, to, a[4]);
    else if (!strcmp(name, "link") || !strcmp(name, "linkat")) link(path, to);
    else if (!strcmp(name, "unlink")) unlink(path);
    else if (!strcmp(name, "unlinkat")) unlinkat(AT_FDCWD, path, a[2]);
    else if (!strcmp(name, "mkdir")) mkdir(path, a[1]);
    else if (!strcmp(name, "mkdirat")) mkdir(path, a[2]);
    else if (call->shape == FD && (process = syscall(__NR_pidfd_open, child, 0)) >= 0) {
        if ((fd = syscall(__NR_pidfd_getfd, process, (int)a[0], 0)) >= 0) {
            if (!strcmp(name, "ftruncate") && ftruncate(fd, a[1])) errno = 0;
            if (!strcmp(name, "fsync") || !strcmp(name, "fdatasync")) fsync(fd);
            close(fd);
        }
        close(process);
    }
}

static void tamper(const char *action, const struct seccomp_notif *request, struct seccomp_notif_resp *answer,
                   const struct call *call, const char *path, const char *other) {
    fprintf(report, "hit %s %ld %s\n", call->name, call->seen, path);
    fflush(report);
    answer->flags = 0;
    if (starts_with(action, "error:")) answer->error = -atoi(action + 6);
    else if (starts_with(action, "late:")) {
        perform(request, call, path, other);
        answer->error = -atoi(action + 5);
    } else if (!strcmp(action, "lie")) answer->val = call->shape == TRANSFER ? request->data.args[2] : 0;
    else if (!strcmp(action, "short") && call->shape == TRANSFER && request->data.args[2] > 1) {
        long done = transfer(request, call, request->data.args[2] / 2);
        if (done < 0) answer->error = done;
        else answer->val = done;
    } else {
        answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        if (starts_with(action, "cut:") && cut(action + 4)) die("cut");
        if (starts_with(action, "fade:") && cut(action + 5)) die("fade");
        if (starts_with(action, "cut:") || !strcmp(action, "kill")) kill(child, SIGKILL);
        if (!strcmp(action, "stop")) kill(child, SIGSTOP);
    }
}

/* Whether this call is the one, or one of those, that are to be tampered with. */
static int is_due(const char *when, long seen) {
    long wanted = atol(when);
    return wanted && (seen == wanted || (strchr(when, '+') && seen > wanted));
}

static void supervise(int listener, const char *below, const char *when, const char *action) {
    static char path[PATH_LEN], other[PATH_LEN];
    struct pollfd wait = {listener, POLLIN, 0};
    long seen = 0;
    for (;;) {
        if (poll(&wait, 1, -1) < 0 && errno != EINTR) die("poll");
        if (wait.revents & (POLLHUP | POLLERR)) return;
        struct seccomp_notif request = {0};
        /* A program that was killed meanwhile waits for no answer. */
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request)) {
            if (errno == ENOENT || errno == EINTR) continue;
            die("receive a call");
        }
        struct seccomp_notif_resp answer = {.id = request.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        struct call *call = of_number(request.data.nr);
        if (call) {
            describe(&request, call, path, other);
            if (counts(&request, call, path, below)) {
                call->seen++;
                if (is_due(when, ++seen)) tamper(action, &request, &answer, call, path, other);
            }
        }
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) && errno != ENOENT && errno != EINTR) die("answer");
    }
}

static void start(int channel, char **program) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int listener = install();
    if (listener < 0) _exit(98);
    /* Not read or write, which the filter may hold already, before anybody answers. */
    char done;
    if (send(channel, &listener, sizeof listener, 0) < 0 || recv(channel, &done, 1, 0) != 1) _exit(98);
    execvp(program[0], program);
    _exit(97);
}

/* The listener of the child, who waits in `start` until it was taken. */
static int take_listener(int channel) {
    int number;
    if (recv(channel, &number, sizeof number, 0) != sizeof number) die("install the filter");
    int process = syscall(__NR_pidfd_open, child, 0);
    int listener = process < 0 ? -1 : syscall(__NR_pidfd_getfd, process, number, 0);
    if (listener < 0) die("take the listener");
    close(process);
    if (send(channel, "x", 1, 0) != 1) die("start the program");
    return listener;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "cut")) {
        if (cut(argv[2])) die("cut");
        return 0;
    }
    if (argc < 9 || strcmp(argv[1], "run") || strcmp(argv[7], "--")) {
        fprintf(stderr, "inject: see the top of its source\n");
        return 99;
    }
    int ends[2];
    report = fopen(argv[2], "we");
    if (!report) die(argv[2]);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) die("socketpair");
    choose(argv[4]);
    child = fork();
    if (child < 0) die("fork");
    if (!child) start(ends[1], argv + 8);
    fprintf(report, "child %d\n", child);
    close(ends[1]);
    supervise(take_listener(ends[0]), argv[3], argv[5], argv[6]);
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) die("waitpid");
    for (int i = 0; i < CALL_COUNT; i++)
        if (calls[i].seen) fprintf(report, "count %s %ld\n", calls[i].name, calls[i].seen);
    fclose(report);
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        kill(getpid(), WTERMSIG(status));
        pause();
    }
    return WEXITSTATUS(status);
}
