//! The table of applets: one row a name, sorted so that a lookup is a binary search.

use std::ffi::OsString;

use crate::coreutils::uutils;
use crate::{ar, build_env, compress, coreutils, diff, lndir, ownership, shell, small, tarball};

/// One program that the binary can be.
pub(crate) struct Applet {
    pub(crate) name: &'static str,
    /// Takes the whole argument vector, the program's own name first, and gives the exit code.
    pub(crate) main: fn(Vec<OsString>) -> i32,
}

/// Finds the applet of that name.
pub(crate) fn find(name: &str) -> Option<&'static Applet> {
    APPLETS.binary_search_by(|applet| applet.name.cmp(name)).ok().map(|row| &APPLETS[row])
}

const fn row(name: &'static str, main: fn(Vec<OsString>) -> i32) -> Applet {
    Applet { name, main }
}

/// Every applet, in the order of the bytes of its name.
pub(crate) static APPLETS: &[Applet] = &[
    row("[", uutils!("test", uu_test)),
    row("ar", ar::main),
    row("arch", uutils!("arch", uu_arch)),
    row("base64", uutils!("base64", uu_base64)),
    row("basename", uutils!("basename", uu_basename)),
    row("bash", shell::main),
    row("build-env", build_env::main),
    row("bunzip2", compress::main),
    row("bzcat", compress::main),
    row("bzip2", compress::main),
    row("cat", uutils!("cat", uu_cat)),
    row("chgrp", ownership::chgrp),
    row("chmod", uutils!("chmod", uu_chmod)),
    row("chown", ownership::chown),
    row("cksum", uutils!("cksum", uu_cksum)),
    row("cmp", diff::cmp),
    row("comm", uutils!("comm", uu_comm)),
    row("cp", uutils!("cp", uu_cp)),
    row("cut", uutils!("cut", uu_cut)),
    row("date", uutils!("date", uu_date)),
    row("dd", uutils!("dd", uu_dd)),
    row("diff", diff::diff),
    row("dirname", uutils!("dirname", uu_dirname)),
    row("dpkg-deb", ar::dpkg_deb),
    row("du", uutils!("du", uu_du)),
    row("echo", uutils!("echo", uu_echo)),
    row("egrep", coreutils::grep),
    row("env", uutils!("env", uu_env)),
    row("expand", uutils!("expand", uu_expand)),
    row("expr", uutils!("expr", uu_expr)),
    row("factor", uutils!("factor", uu_factor)),
    row("false", uutils!("false", uu_false)),
    row("fgrep", coreutils::grep),
    row("find", coreutils::find),
    row("fold", uutils!("fold", uu_fold)),
    row("grep", coreutils::grep),
    row("gunzip", compress::main),
    row("gzip", compress::main),
    row("head", uutils!("head", uu_head)),
    row("hostname", small::hostname),
    row("id", uutils!("id", uu_id)),
    row("install", uutils!("install", uu_install)),
    row("join", uutils!("join", uu_join)),
    row("ln", uutils!("ln", uu_ln)),
    row("lndir", lndir::main),
    row("ls", uutils!("ls", uu_ls)),
    row("md5sum", uutils!("md5sum", uu_md5sum)),
    row("mkdir", uutils!("mkdir", uu_mkdir)),
    row("mkfifo", uutils!("mkfifo", uu_mkfifo)),
    row("mknod", uutils!("mknod", uu_mknod)),
    row("mktemp", uutils!("mktemp", uu_mktemp)),
    row("mv", uutils!("mv", uu_mv)),
    row("nl", uutils!("nl", uu_nl)),
    row("nproc", uutils!("nproc", uu_nproc)),
    row("od", uutils!("od", uu_od)),
    row("paste", uutils!("paste", uu_paste)),
    row("printenv", uutils!("printenv", uu_printenv)),
    row("printf", uutils!("printf", uu_printf)),
    row("pwd", uutils!("pwd", uu_pwd)),
    row("readlink", uutils!("readlink", uu_readlink)),
    row("realpath", uutils!("realpath", uu_realpath)),
    row("rm", uutils!("rm", uu_rm)),
    row("rmdir", uutils!("rmdir", uu_rmdir)),
    row("sed", coreutils::sed),
    row("seq", uutils!("seq", uu_seq)),
    row("sh", shell::main),
    row("sha1sum", uutils!("sha1sum", uu_sha1sum)),
    row("sha256sum", uutils!("sha256sum", uu_sha256sum)),
    row("sha512sum", uutils!("sha512sum", uu_sha512sum)),
    row("shuf", uutils!("shuf", uu_shuf)),
    row("sleep", uutils!("sleep", uu_sleep)),
    row("sort", uutils!("sort", uu_sort)),
    row("split", uutils!("split", uu_split)),
    row("stat", uutils!("stat", uu_stat)),
    row("sum", uutils!("sum", uu_sum)),
    row("sync", uutils!("sync", uu_sync)),
    row("tac", uutils!("tac", uu_tac)),
    row("tail", uutils!("tail", uu_tail)),
    row("tar", tarball::main),
    row("tee", uutils!("tee", uu_tee)),
    row("test", uutils!("test", uu_test)),
    row("timeout", uutils!("timeout", uu_timeout)),
    row("touch", uutils!("touch", uu_touch)),
    row("tr", uutils!("tr", uu_tr)),
    row("true", uutils!("true", uu_true)),
    row("truncate", uutils!("truncate", uu_truncate)),
    row("tsort", uutils!("tsort", uu_tsort)),
    row("uname", uutils!("uname", uu_uname)),
    row("unexpand", uutils!("unexpand", uu_unexpand)),
    row("uniq", uutils!("uniq", uu_uniq)),
    row("unlink", uutils!("unlink", uu_unlink)),
    row("unxz", compress::main),
    row("unzstd", compress::main),
    row("wc", uutils!("wc", uu_wc)),
    row("which", small::which),
    row("whoami", uutils!("whoami", uu_whoami)),
    row("xargs", coreutils::xargs),
    row("xz", compress::main),
    row("xzcat", compress::main),
    row("yes", uutils!("yes", uu_yes)),
    row("zcat", compress::main),
    row("zstd", compress::main),
    row("zstdcat", compress::main),
];

#[cfg(test)]
mod tests {
    use super::APPLETS;

    #[test]
    fn the_table_is_sorted_so_that_every_applet_is_found() {
        assert!(APPLETS.is_sorted_by(|a, b| a.name < b.name));
    }
}
