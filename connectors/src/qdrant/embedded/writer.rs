//! The one thread that writes to a store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use qdrant_edge::PointStructPersisted;
use tokio::sync::oneshot;

use super::files::{self, Aliases};
use super::shard::Shard;
use crate::ConnectorError;
use crate::qdrant::collection::Layout;

type Reply<T> = oneshot::Sender<Result<T, ConnectorError>>;

/// What the writer is asked to do.
enum Command {
    Create {
        name: String,
        layout: Layout,
        reply: Reply<()>,
    },
    CreateAlias {
        alias: String,
        collection: String,
        reply: Reply<()>,
    },
    Upsert {
        collection: String,
        points: Vec<PointStructPersisted>,
        reply: Reply<()>,
    },
    Delete {
        collection: String,
        ids: Vec<qdrant_edge::PointId>,
        reply: Reply<()>,
    },
    Flush {
        reply: Reply<()>,
    },
    Finish {
        reply: Reply<()>,
    },
}

/// What is in a store. The writer changes it; any thread may look.
pub(super) struct Contents {
    system: String,
    folder: PathBuf,
    aliases: RwLock<Aliases>,
    shards: RwLock<BTreeMap<String, Arc<Shard>>>,
}

impl Contents {
    /// Loads everything in `folder`.
    pub fn load(system: &str, folder: PathBuf) -> Result<Self, ConnectorError> {
        let aliases = files::read_aliases(&folder)?;
        let mut shards = BTreeMap::new();
        for (name, layout) in files::read_collections(&folder)? {
            let shard = Shard::load(system, &files::collection_folder(&folder, &name), layout)?;
            shards.insert(name, Arc::new(shard));
        }
        Ok(Self {
            system: system.to_string(),
            folder,
            aliases: RwLock::new(aliases),
            shards: RwLock::new(shards),
        })
    }

    /// The store, as a user knows it.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Where the store is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The aliases.
    pub fn aliases(&self) -> RwLockReadGuard<'_, Aliases> {
        self.aliases.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard of the collection `name`, which may be an alias.
    pub fn shard(&self, name: &str) -> Option<Arc<Shard>> {
        let target = self.aliases().get(name).cloned();
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        shards.get(target.as_deref().unwrap_or(name)).cloned()
    }

    /// As [`Contents::shard`], with an error that names the collection.
    pub fn existing(&self, name: &str) -> Result<Arc<Shard>, ConnectorError> {
        self.shard(name)
            .ok_or_else(|| self.refusal(format!("there is no collection '{name}'")))
    }

    /// The collections' names.
    pub fn collections(&self) -> Vec<String> {
        self.shards
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }

    /// An error of this store.
    pub fn refusal(&self, message: String) -> ConnectorError {
        ConnectorError::Refused {
            system: self.system.clone(),
            message,
        }
    }

    fn create(&self, name: String, layout: Layout) -> Result<(), ConnectorError> {
        if self.shard(&name).is_some() {
            return Ok(());
        }
        let folder = files::collection_folder(&self.folder, &name);
        let shard = Shard::create(&self.system, &folder, layout)?;
        files::write_layout(&folder, shard.layout())?;
        self.shards
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, Arc::new(shard));
        Ok(())
    }

    fn create_alias(&self, alias: String, collection: String) -> Result<(), ConnectorError> {
        let shards = self.collections();
        if shards.contains(&alias) {
            return Err(self.refusal(format!("'{alias}' is a collection, and cannot be an alias too")));
        }
        if !shards.contains(&collection) {
            return Err(self.refusal(format!("there is no collection '{collection}'")));
        }
        let mut aliases = self.aliases().clone();
        aliases.insert(alias, collection);
        files::write_aliases(&self.folder, &aliases)?;
        *self.aliases.write().unwrap_or_else(PoisonError::into_inner) = aliases;
        Ok(())
    }

    /// Does `work` for every shard; all are tried, and the first error is told.
    fn for_each_shard(&self, work: impl Fn(&Shard) -> Result<(), ConnectorError>) -> Result<(), ConnectorError> {
        let shards: Vec<_> = self
            .shards
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        shards.iter().map(|shard| work(shard)).fold(Ok(()), Result::and)
    }
}

/// The handle of the writer's thread. Dropping it ends the thread after what it has been asked for.
pub(super) struct Writer {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(contents: Arc<Contents>) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("qdrant-writer".to_string())
            .spawn(move || run(&contents, &inbox))?;
        Ok(Self {
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// Makes a collection; no error if it is there.
    pub async fn create(&self, name: &str, layout: Layout) -> Result<(), ConnectorError> {
        self.ask(|reply| Command::Create {
            name: name.to_string(),
            layout,
            reply,
        })
        .await
    }

    /// Lets an alias lead to a collection.
    pub async fn create_alias(&self, alias: &str, collection: &str) -> Result<(), ConnectorError> {
        self.ask(|reply| Command::CreateAlias {
            alias: alias.to_string(),
            collection: collection.to_string(),
            reply,
        })
        .await
    }

    /// Writes points.
    pub async fn upsert(&self, collection: &str, points: Vec<PointStructPersisted>) -> Result<(), ConnectorError> {
        self.ask(|reply| Command::Upsert {
            collection: collection.to_string(),
            points,
            reply,
        })
        .await
    }

    /// Removes points.
    pub async fn delete(&self, collection: &str, ids: Vec<qdrant_edge::PointId>) -> Result<(), ConnectorError> {
        self.ask(|reply| Command::Delete {
            collection: collection.to_string(),
            ids,
            reply,
        })
        .await
    }

    /// Makes everything written durable.
    pub async fn flush(&self) -> Result<(), ConnectorError> {
        self.ask(|reply| Command::Flush { reply }).await
    }

    /// Flushes, and brings the indexes up to date.
    pub async fn finish(&self) -> Result<(), ConnectorError> {
        self.ask(|reply| Command::Finish { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ConnectorError> {
        let ended = || ConnectorError::Internal("the embedded Qdrant's writer has ended".to_string());
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or_else(ended)?;
        commands.send(command(reply)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the embedded Qdrant's writer panicked");
        }
    }
}

fn run(contents: &Contents, inbox: &Receiver<Command>) {
    // A caller that has gone away wants no answer.
    fn answer<T>(reply: Reply<T>, result: Result<T, ConnectorError>) {
        drop(reply.send(result));
    }
    while let Ok(command) = inbox.recv() {
        match command {
            Command::Create { name, layout, reply } => answer(reply, contents.create(name, layout)),
            Command::CreateAlias {
                alias,
                collection,
                reply,
            } => {
                answer(reply, contents.create_alias(alias, collection));
            }
            Command::Upsert {
                collection,
                points,
                reply,
            } => {
                answer(
                    reply,
                    contents.existing(&collection).and_then(|shard| shard.upsert(points)),
                );
            }
            Command::Delete { collection, ids, reply } => {
                answer(
                    reply,
                    contents.existing(&collection).and_then(|shard| shard.delete(ids)),
                );
            }
            Command::Flush { reply } => {
                let flushed = contents.for_each_shard(Shard::flush);
                let maintain = flushed.is_ok();
                answer(reply, flushed);
                if maintain && let Err(error) = contents.for_each_shard(Shard::maintain) {
                    tracing::error!(system = contents.system, %error, "the store could not be kept in order");
                }
            }
            Command::Finish { reply } => {
                let flushed = contents.for_each_shard(Shard::flush).and_then(|()| {
                    contents.for_each_shard(|shard| {
                        shard.index();
                        Ok(())
                    })
                });
                answer(reply, flushed);
            }
        }
    }
}
