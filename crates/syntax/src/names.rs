//! Names interned to consecutive numbers: an open-addressing table over the tree's byte pool.

use std::hash::Hasher;

use crate::ast::{Name, Text};

const FREE: u32 = u32::MAX;

/// The names of one tree. The bytes are in the tree's pool, which every call is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    entries: Vec<(Text, u32)>,
    slots: Vec<u32>,
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn text(&self, name: Name) -> Text {
        self.entries[name.0 as usize].0
    }

    pub(crate) fn find(&self, bytes: &[u8], pool: &[u8]) -> Option<Name> {
        if self.slots.is_empty() {
            return None;
        }
        let slot = self.slots[self.slot_of(hash(bytes), bytes, pool)];
        (slot != FREE).then_some(Name(slot))
    }

    pub(crate) fn intern(&mut self, bytes: &[u8], pool: &mut Vec<u8>) -> Name {
        if self.entries.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let hash = hash(bytes);
        let slot = self.slot_of(hash, bytes, pool);
        if self.slots[slot] == FREE {
            self.slots[slot] = self.entries.len() as u32;
            let text = Text { start: pool.len() as u32, len: bytes.len() as u32 };
            pool.extend_from_slice(bytes);
            self.entries.push((text, hash));
        }
        Name(self.slots[slot])
    }

    /// The slot that holds `bytes`, or the free one where they belong.
    fn slot_of(&self, hash: u32, bytes: &[u8], pool: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let index = self.slots[slot];
            if index == FREE {
                return slot;
            }
            let (text, other) = self.entries[index as usize];
            if other == hash && &pool[text.start as usize..][..text.len as usize] == bytes {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        self.slots = vec![FREE; size];
        for (index, (_, hash)) in self.entries.iter().enumerate() {
            let mut slot = *hash as usize & (size - 1);
            while self.slots[slot] != FREE {
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = index as u32;
        }
    }
}

fn hash(bytes: &[u8]) -> u32 {
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(bytes);
    hasher.finish() as u32
}
