// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"os"
	"slices"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// calls are the system calls that stay, whatever their arguments. An architecture does not have all of them: some have been
// replaced by others where it is newer.
var calls = []string{
	// Memory and threads, as the runtime of Go uses them.
	"munmap", "madvise", "mincore", "brk", "mremap",
	"futex", "sched_yield", "sched_getaffinity", "nanosleep", "clock_nanosleep", "clock_gettime", "gettimeofday",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "set_robust_list", "rseq",
	"exit", "exit_group", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getrandom",
	// Descriptors.
	"read", "write", "readv", "writev", "pread64", "pwrite64", "close", "fcntl", "lseek", "dup", "dup3", "pipe2",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2",
	"inotify_init1", "inotify_add_watch", "inotify_rm_watch",
	// Files, where Landlock has the say of which.
	"openat", "fstat", "newfstatat", "statx", "getdents64", "readlinkat", "faccessat", "faccessat2", "umask",
	"mkdirat", "unlinkat", "renameat", "renameat2", "linkat",
	"fchmod", "fchmodat", "fchown", "fchownat", "ftruncate", "fsync", "fdatasync", "flock",
	// Of these only some uses, see forbidden.
	"socket", "clone", "mmap", "mprotect", "tgkill",
	// Sockets: those that are there, and those that socket may make.
	"accept4", "bind", "listen", "connect", "shutdown", "getsockname", "getpeername", "getsockopt", "setsockopt",
	"sendto", "sendmsg", "recvfrom", "recvmsg",
}

// newNamespaces are the flags of clone(2) that make namespaces.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// use is a call with conditions on its arguments that are met at once.
func use(name string, conditions ...seccomp.Condition) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: name, Conditions: conditions}
}

// argument is a condition on one argument of a call.
func argument(n uint32, op seccomp.Operation, value uint64) seccomp.Condition {
	return seccomp.Condition{Argument: n, Operation: op, Value: value}
}

// forbidden are the uses, of one call each, that calls that stay do not have: sockets but those of unix(7), of
// netlink(7) for what the kernel knows of neighbours, and of tcp(7) where there are ports to connect to; processes and
// namespaces rather than threads; executable memory; signals to other processes.
func (p Policy) forbidden() [][]seccomp.NameWithConditions {
	others := []seccomp.Condition{argument(0, seccomp.NotEqual, unix.AF_UNIX), argument(0, seccomp.NotEqual, unix.AF_NETLINK)}
	sockets := []seccomp.NameWithConditions{use("socket", others...)}
	if len(p.Connect) > 0 {
		sockets = []seccomp.NameWithConditions{
			use("socket", append(others, argument(0, seccomp.NotEqual, unix.AF_INET))...),
			use("socket", argument(0, seccomp.Equal, unix.AF_INET), argument(1, seccomp.BitsSet, unix.SOCK_DGRAM)), // raw ones, too
		}
	}
	return [][]seccomp.NameWithConditions{
		sockets,
		{
			use("clone", argument(0, seccomp.BitsNotSet, unix.CLONE_THREAD)),
			use("clone", argument(0, seccomp.BitsSet, newNamespaces)),
		},
		{use("mmap", argument(2, seccomp.BitsSet, unix.PROT_EXEC))},
		{use("mprotect", argument(2, seccomp.BitsSet, unix.PROT_EXEC))},
		{use("tgkill", argument(0, seccomp.NotEqual, uint64(os.Getpid())))},
	}
}

// restrictCalls leaves the process the system calls of the list, less the uses that are forbidden. All others fail with
// EPERM and do not kill: they are as much out of reach, while a library that tries a new call first and has another way
// keeps working.
//
// Each of the calls with conditions has a filter of its own, and the kernel asks all of them: in one filter, the library
// would go on from a condition that is not met with the argument in the place of the call's number.
func (p Policy) restrictCalls() (lack string, err error) {
	if !seccomp.Supported() {
		return "seccomp, which this kernel does not have", nil
	}
	info, err := arch.GetInfo("")
	if err != nil {
		return "", err
	}
	for _, uses := range p.forbidden() {
		err := load(seccomp.ActionAllow, seccomp.SyscallGroup{Action: seccomp.ActionErrno, NamesWithCondtions: uses})
		if err != nil {
			return "", err
		}
	}
	names := slices.DeleteFunc(slices.Clone(calls), func(name string) bool {
		_, there := info.SyscallNames[name]
		return !there
	})
	return "", load(seccomp.ActionErrno, seccomp.SyscallGroup{Action: seccomp.ActionAllow, Names: names})
}

// load adds a filter to those of all threads.
func load(otherwise seccomp.Action, group seccomp.SyscallGroup) error {
	return seccomp.LoadFilter(seccomp.Filter{
		Flag:   seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{DefaultAction: otherwise, Syscalls: []seccomp.SyscallGroup{group}},
	})
}
