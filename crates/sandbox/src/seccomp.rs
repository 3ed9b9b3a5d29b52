//! System call filters in classic BPF, made by hand: they are short, and must hold for the 32-bit calls of a 64-bit
//! kernel too.
//!
//! The layout of the data that a filter reads is `struct seccomp_data` of `linux/seccomp.h`: the call's number at 0,
//! the architecture at 4, the arguments from 16 on, 8 bytes each (their lower half first on little-endian machines).

use crate::description::Seccomp;

const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const SETUID_OR_SETGID: u32 = libc::S_ISUID | libc::S_ISGID;

/// Bit that marks the calls of the x32 interface, which otherwise share the numbers of x86-64.
const X32: u32 = 0x4000_0000;

/// A rule: the call with this number gets this answer, always or if the argument has one of the bits.
struct Rule {
    number: i64,
    errno: i32,
    argument: Option<(u32, u32)>,
}

/// The other interface of the same kernel, by which 32-bit programs make their calls.
struct Compatible {
    architecture: u32,
    /// chmod, fchmod and fchmodat, each with the index of its mode argument.
    chmod: [(i64, u32); 3],
}

/// set, lset, fset, get, lget, fget, list, llist and flistxattr, the same for 32-bit x86 and ARM.
const XATTR_32: std::ops::RangeInclusive<i64> = 226..=234;

#[cfg(target_arch = "x86_64")]
mod native {
    use libc::*;
    pub const ARCHITECTURE: u32 = 0xc000_003e;
    pub const COMPATIBLE: super::Compatible =
        super::Compatible { architecture: 0x4000_0003, chmod: [(15, 1), (94, 1), (306, 2)] };
    pub const CHMOD: &[(i64, u32)] = &[(SYS_chmod, 1), (SYS_fchmod, 1), (SYS_fchmodat, 2)];
    pub const OWNERS: &[i64] = &[SYS_chown, SYS_lchown, SYS_fchown, SYS_fchownat];
}

#[cfg(target_arch = "aarch64")]
mod native {
    use libc::*;
    pub const ARCHITECTURE: u32 = 0xc000_00b7;
    pub const COMPATIBLE: super::Compatible =
        super::Compatible { architecture: 0x4000_0028, chmod: [(15, 1), (94, 1), (333, 2)] };
    pub const CHMOD: &[(i64, u32)] = &[(SYS_fchmod, 1), (SYS_fchmodat, 2)];
    pub const OWNERS: &[i64] = &[SYS_fchown, SYS_fchownat];
}

/// `fchmodat2`, the same number everywhere.
const FCHMODAT2: i64 = 452;
/// `setxattrat`, `getxattrat` and `listxattrat`, the same numbers everywhere.
const XATTRAT: [i64; 3] = [463, 464, 465];

const XATTR: [i64; 9] = [
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
];

/// Calls that reach outside the namespaces or that only serve to attack the kernel.
const FORBIDDEN: [i64; 22] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_userfaultfd,
];

/// Calls that change ids, beside those that change owners.
const IDS: [i64; 9] = [
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
];

/// The filter for a set of rules. Calls of an interface that has no rules are allowed.
pub(crate) fn filter(rules: Seccomp) -> Vec<libc::sock_filter> {
    let (native, compatible) = match rules {
        Seccomp::Off => (Vec::new(), Vec::new()),
        Seccomp::Builder => builder_rules(),
        Seccomp::Container => (forbidden_rules(), Vec::new()),
        Seccomp::ContainerOneId => {
            let quiet = native::OWNERS.iter().chain(&IDS).map(|number| Rule::always(*number, 0));
            (forbidden_rules().into_iter().chain(quiet).collect(), Vec::new())
        }
    };
    let native = section(native::ARCHITECTURE, &native);
    let compatible = section(native::COMPATIBLE.architecture, &compatible);
    [native, compatible, vec![answer(ALLOW)]].concat()
}

fn builder_rules() -> (Vec<Rule>, Vec<Rule>) {
    let chmod = |(number, argument): &(i64, u32)| Rule {
        number: *number,
        errno: libc::EPERM,
        argument: Some((*argument, SETUID_OR_SETGID)),
    };
    let refused = |number: &i64| Rule::always(*number, libc::ENOTSUP);
    let common = || [chmod(&(FCHMODAT2, 2))].into_iter().chain(XATTRAT.iter().map(refused));
    let native = native::CHMOD.iter().map(chmod).chain(XATTR.iter().map(refused)).chain(common()).collect();
    let compatible = native::COMPATIBLE.chmod.iter().map(chmod);
    let compatible = compatible.chain(XATTR_32.map(|number| refused(&number))).chain(common()).collect();
    (native, compatible)
}

fn forbidden_rules() -> Vec<Rule> {
    FORBIDDEN.iter().map(|number| Rule::always(*number, libc::EPERM)).collect()
}

impl Rule {
    fn always(number: i64, errno: i32) -> Rule {
        Rule { number, errno, argument: None }
    }
}

/// The rules of one architecture: skipped as a whole when the call is of another. An x86-64 call of the x32 interface
/// is taken for its x86-64 sibling.
fn section(architecture: u32, rules: &[Rule]) -> Vec<libc::sock_filter> {
    let mut body = vec![load(NUMBER), statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, !X32)];
    for rule in rules {
        let number = u32::try_from(rule.number).unwrap_or(u32::MAX);
        let refuse = answer(libc::SECCOMP_RET_ERRNO | rule.errno.unsigned_abs());
        match rule.argument {
            None => body.extend([jump(libc::BPF_JEQ, number, 0, 1), refuse]),
            Some((argument, bits)) => body.extend([
                jump(libc::BPF_JEQ, number, 0, 4),
                load(ARGUMENTS + 8 * argument),
                jump(libc::BPF_JSET, bits, 0, 1),
                refuse,
                answer(ALLOW),
            ]),
        }
    }
    body.push(answer(ALLOW));
    // A jump spans at most 255 instructions, and a section may be longer: so the way out is an unconditional one.
    let over = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut section = vec![
        load(ARCHITECTURE),
        jump(libc::BPF_JEQ, architecture, 1, 0),
        statement(libc::BPF_JMP | libc::BPF_JA, over),
    ];
    section.extend(body);
    section
}

fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn answer(value: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, value)
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(test: u32, k: u32, if_true: u8, if_false: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt: if_true, jf: if_false, k }
}
