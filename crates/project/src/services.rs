//! The store, the builder and the fetcher of one command, opened when one of them is first needed: a value that needs
//! none of them is had without a store, and where none can be made.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use build::{Builder, Builtin, BuiltinError, DaemonBuilder, Farm, FetchUrl, Realise};
use distribution::OciPull;
use fetch::Fetcher;
use image::LayerCache;
use store::progress::{Progress, TaskId};
use store::{LocalStore, Store, StoreError};

use crate::options::Options;

/// The three of them.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// The same, if it is a directory of our own.
    pub(crate) local: Option<Arc<LocalStore>>,
    pub(crate) builder: Box<dyn Realise>,
    pub(crate) fetcher: Arc<Fetcher>,
}

/// Opens them once.
pub(crate) struct Services {
    options: Arc<Options>,
    opened: OnceLock<Opened>,
    /// Held while opening, so that two threads do not open two stores.
    opening: Mutex<()>,
}

impl Services {
    pub(crate) fn new(options: Arc<Options>) -> Self {
        Self { options, opened: OnceLock::new(), opening: Mutex::new(()) }
    }

    /// The binary caches that objects are taken from.
    pub(crate) fn substituters(&self) -> &store::cache::Substituters {
        &self.options.substituters
    }

    /// All of them, the store made if there was none.
    pub(crate) fn open(&self) -> Result<&Opened, StoreError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = open(&self.options)?;
        Ok(self.opened.get_or_init(|| opened))
    }
}

fn open(options: &Options) -> Result<Opened, StoreError> {
    match &options.daemon {
        None => {
            let store = Arc::new(LocalStore::open(&options.data)?);
            let fetcher = fetcher(options, Arc::clone(&store) as _);
            let farm = Farm::new(options.machines.machines.clone(), options.machines.substitutes);
            let builder = Builder::new(Arc::clone(&store), options.build.clone())
                .with_progress(Arc::clone(&options.progress))
                .with_substituters(Arc::clone(&options.substituters))
                .with_farm(farm);
            let builder = builtins(options, &fetcher).into_iter().fold(builder, Builder::with_builtin);
            Ok(Opened { local: Some(Arc::clone(&store)), store, builder: Box::new(builder), fetcher })
        }
        Some(daemon) => {
            let store = Arc::new(daemon.address.open(daemon.options.clone(), Arc::clone(&options.progress))?);
            let fetcher = fetcher(options, Arc::clone(&store) as _);
            let builder = DaemonBuilder::new(Arc::clone(&store), options.build.clone(), &options.data)
                .with_progress(Arc::clone(&options.progress));
            let builder = builtins(options, &fetcher).into_iter().fold(builder, DaemonBuilder::with_builtin);
            Ok(Opened { store, local: None, builder: Box::new(builder), fetcher })
        }
    }
}

fn fetcher(options: &Options, store: Arc<dyn Store>) -> Arc<Fetcher> {
    let fetcher = Fetcher::new(store, Arc::clone(&options.progress), options.fetching.clone());
    Arc::new(fetcher.with_substituters(Arc::clone(&options.substituters)))
}

/// The builders that are part of this program.
fn builtins(options: &Options, fetcher: &Arc<Fetcher>) -> Vec<Box<dyn Builtin>> {
    let layers = LayerCache::new(options.cache.join("layers"));
    let mut builtins = image::builtins(&layers, options.sink.clone());
    builtins.push(Box::new(FetchUrl(Downloads(Arc::clone(fetcher)))));
    builtins.push(Box::new(OciPull::new(options.registries.clone())));
    builtins
}

/// The fetcher as `builtin:fetchurl` needs it.
struct Downloads(Arc<Fetcher>);

impl build::Fetcher for Downloads {
    fn fetch(
        &self,
        url: &str,
        out: &mut dyn std::io::Write,
        progress: &dyn Progress,
        task: TaskId,
    ) -> Result<(), BuiltinError> {
        Ok(self.0.download(url, out, &mut |bytes| progress.advance(task, bytes))?)
    }
}
