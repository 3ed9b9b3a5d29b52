//! `builtin:fetchurl`: a file, or a tree in a NAR, from an address. The output is fixed, so what arrives is checked by
//! its hash like any fixed output.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;

use liblzma::read::XzDecoder;
use nix_formats::derivation::Kind;
use store::fs_nar;
use store::progress::{Progress, TaskId};

use crate::builtin::{Builtin, BuiltinContext, BuiltinError};

/// Gets what is at an address. Implemented where the network is.
pub trait Fetcher: Send + Sync {
    /// Writes what is at `url` to `out`, and advances `task` by its bytes.
    ///
    /// # Errors
    /// Any; its text is shown as the reason why the derivation could not be built.
    fn fetch(&self, url: &str, out: &mut dyn Write, progress: &dyn Progress, task: TaskId) -> Result<(), BuiltinError>;
}

/// The builtin builder, over something that can fetch.
pub struct FetchUrl<F>(pub F);

impl<F: Fetcher> Builtin for FetchUrl<F> {
    fn name(&self) -> &str {
        "builtin:fetchurl"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        if !matches!(context.derivation.kind(), Ok(Kind::Fixed | Kind::Impure)) {
            return Err("it must have a fixed output: give outputHash, outputHashAlgo and outputHashMode".into());
        }
        let url = context.attributes.required("url")?;
        let flag = |name| -> Result<bool, BuiltinError> { Ok(context.attributes.boolean(name)?.unwrap_or(false)) };
        let out = &context.output("out")?.real_path;
        if flag("unpack")? {
            let mut spool = tempfile::tempfile_in(context.scratch)?;
            self.0.fetch(&url, &mut spool, context.progress, context.task)?;
            spool.rewind()?;
            let nar: Box<dyn Read> = match url.ends_with(".xz") {
                true => Box::new(XzDecoder::new_multi_decoder(BufReader::new(spool))),
                false => Box::new(spool),
            };
            fs_nar::restore(BufReader::new(nar), out)?;
        } else {
            let mut file =
                File::create_new(out).map_err(|error| format!("cannot create '{}': {error}", out.display()))?;
            self.0.fetch(&url, &mut file, context.progress, context.task)?;
            file.flush()?;
        }
        let mode = if flag("executable")? { 0o755 } else { 0o644 };
        match out.symlink_metadata()?.is_file() {
            true => Ok(fs::set_permissions(out, fs::Permissions::from_mode(mode))?),
            false => Ok(()),
        }
    }
}
