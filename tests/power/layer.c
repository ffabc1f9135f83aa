/* A disk that forgets: keeps what a process wrote to a volume apart from what of it outlives a power cut.
 *
 * Between a program and the C library. What the program sees is the folder $POWER_VOLUME, as always. What would be
 * there after a power cut is kept in the folder $POWER_SHADOW, and changes by a sync alone:
 *
 *   files/<inode>   a file's bytes and length as its last sync found them
 *   names/<inode>   a directory's names as its last sync found them, a line each: d or f, inode, name
 *   graves/<inode>  files whose name was removed or replaced, so that no other file gets their inode
 *
 * This is what POSIX promises, and no more: a synced file has no name until its directory is synced, and a rename is
 * none. Writes need not be seen for that (some are system calls without the C library), syncs have to be: one that is
 * not seen is no sync, so that a test fails and not passes. What a cut leaves of unsynced bytes is for the test to
 * decide: it has both sides.
 *
 * A sync lasts up to $POWER_SLOW microseconds, at random, before any of it is durable: a cut has to find it at work.
 * The file $POWER_SHADOW/cut orders one there, by three numbers: the syncs that still pass, whether the one behind them,
 * in which the process is killed, is durable by then, and whether those of directories alone count. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define PATH 1024

static const char *volume, *shadow;
static long slow;
/* One disk: syncs follow each other, so that no older state of a file replaces a newer one. */
static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    volume = getenv("POWER_VOLUME");
    shadow = getenv("POWER_SHADOW");
    slow = getenv("POWER_SLOW") ? atol(getenv("POWER_SLOW")) : 0;
}

/* A call that the layer cannot follow ends the program: it must not pass for durable or for lost. */
__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    dprintf(2, "power layer: ");
    vdprintf(2, format, arguments);
    dprintf(2, " (%s)\n", strerror(errno));
    abort();
}

/* Whether an open file or directory is on the volume, also when it has lost its name. */
static int is_on_volume(int fd) {
    char link[64], path[PATH + 1];
    if (!volume || !shadow) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH);
    if (length < 0) return 0;
    path[length] = 0;
    size_t root = strlen(volume);
    return !strncmp(path, volume, root) && (path[root] == '/' || path[root] == 0);
}

static void in_shadow(char *path, const char *folder, ino_t inode, const char *more) {
    int length = snprintf(path, PATH, "%s/%s/%lu%s", shadow, folder, (unsigned long)inode, more);
    if (length >= PATH) die("%s is too long a path", shadow);
}

static void take_time(void) {
    static unsigned seed;
    if (slow <= 0) return;
    if (!seed) seed = (unsigned)getpid();
    long micros = rand_r(&seed) % slow;
    nanosleep(&(struct timespec){micros / 1000000, micros % 1000000 * 1000}, NULL);
}

static size_t read_at(int fd, char *buffer, size_t length, off_t offset) {
    size_t filled = 0;
    while (filled < length) {
        ssize_t more = pread(fd, buffer + filled, length - filled, offset + (off_t)filled);
        if (more < 0 && errno == EINTR) continue;
        if (more < 0) die("cannot read what is synced");
        if (more == 0) break;
        filled += (size_t)more;
    }
    return filled;
}

static void write_at(int fd, const char *bytes, size_t length, off_t offset) {
    while (length > 0) {
        ssize_t written = pwrite(fd, bytes, length, offset);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) die("cannot write to the shadow");
        bytes += written, offset += written, length -= (size_t)written;
    }
}

/* The bytes as they are at the beginning of the sync, block by block and in place: a cut may find half of them. */
static void sync_file(int fd, const struct stat *found) {
    char link[64], path[PATH], old[BLOCK];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int from = open(link, O_RDONLY | O_CLOEXEC);
    if (from < 0) die("cannot read the file of a sync");
    size_t length = (size_t)found->st_size;
    char *bytes = malloc(length + 1);
    if (!bytes) die("no memory for a file of %zu bytes", length);
    length = read_at(from, bytes, length, 0);
    close(from);
    take_time();
    in_shadow(path, "files", found->st_ino, "");
    int to = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (to < 0) die("cannot open %s", path);
    for (size_t at = 0; at < length; at += BLOCK) {
        size_t block = length - at < BLOCK ? length - at : BLOCK;
        if (read_at(to, old, block, (off_t)at) != block || memcmp(old, bytes + at, block))
            write_at(to, bytes + at, block, (off_t)at);
    }
    if (ftruncate(to, (off_t)length)) die("cannot cut %s", path);
    close(to);
    free(bytes);
}

/* The names as they are at the beginning of the sync, all at once. */
static void sync_directory(int fd, const struct stat *found) {
    char new[PATH], path[PATH];
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory) die("cannot read the directory of a sync");
    in_shadow(new, "names", found->st_ino, ".new");
    in_shadow(path, "names", found->st_ino, "");
    int to = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0) die("cannot open %s", new);
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct stat node;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (strchr(entry->d_name, '\n')) die("a name with a line end");
        if (fstatat(copy, entry->d_name, &node, AT_SYMLINK_NOFOLLOW)) {
            if (errno == ENOENT) continue; /* removed meanwhile */
            die("cannot look at %s", entry->d_name);
        }
        if (!S_ISREG(node.st_mode) && !S_ISDIR(node.st_mode)) die("%s is no file", entry->d_name);
        dprintf(to, "%c %lu %s\n", S_ISDIR(node.st_mode) ? 'd' : 'f', (unsigned long)node.st_ino, entry->d_name);
    }
    close(to);
    closedir(directory);
    take_time();
    if (syscall(SYS_renameat2, AT_FDCWD, new, AT_FDCWD, path, 0)) die("cannot rename %s", new);
}

/* Counts down to the cut that is ordered, if one is; whether it is due, and whether behind the sync. */
static int cut_is_due(int is_directory, int *behind) {
    static long left = -1;
    static int is_behind, directories_alone;
    char path[PATH];
    FILE *order;
    if (left < 0) {
        snprintf(path, sizeof path, "%s/cut", shadow);
        order = fopen(path, "re");
        if (!order) return 0;
        if (fscanf(order, "%ld %d %d", &left, &is_behind, &directories_alone) != 3) die("no order: %s", path);
        fclose(order);
    }
    *behind = is_behind;
    return (is_directory || !directories_alone) && left-- == 0;
}

static int sync_with(long call, int fd) {
    struct stat found;
    if (fstat(fd, &found) || !is_on_volume(fd)) return (int)syscall(call, fd);
    int before = errno, behind = 0;
    pthread_mutex_lock(&disk);
    int is_due = cut_is_due(S_ISDIR(found.st_mode), &behind);
    if (is_due && !behind) kill(getpid(), SIGKILL);
    if (S_ISDIR(found.st_mode)) sync_directory(fd, &found);
    else if (S_ISREG(found.st_mode)) sync_file(fd, &found);
    else die("a sync of what is neither file nor directory");
    if (is_due) kill(getpid(), SIGKILL);
    pthread_mutex_unlock(&disk);
    errno = before;
    return 0;
}

int fsync(int fd) { return sync_with(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }

/* Other ways to make something durable are to be added here before a program uses them. */
int syncfs(int fd) {
    if (is_on_volume(fd)) die("syncfs is not known");
    return (int)syscall(SYS_syncfs, fd);
}

/* The file that is about to lose a name, if there is one, keeps its inode and its bytes. */
static void bury(int folder, const char *path) {
    char link[64], grave[PATH];
    struct stat found;
    int before = errno, fd = openat(folder, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && is_on_volume(fd) && !fstat(fd, &found)) {
        if (S_ISDIR(found.st_mode)) die("directories stay: %s", path);
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        in_shadow(grave, "graves", found.st_ino, "");
        if (linkat(AT_FDCWD, link, AT_FDCWD, grave, AT_SYMLINK_FOLLOW) && errno != EEXIST) die("cannot keep %s", path);
    }
    if (fd >= 0) close(fd);
    errno = before;
}

int unlinkat(int folder, const char *path, int flags) {
    bury(folder, path);
    return (int)syscall(SYS_unlinkat, folder, path, flags);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    bury(from_folder, from); /* for its being no directory */
    bury(to_folder, to);
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return renameat2(from_folder, from, to_folder, to, 0);
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
