//! Streams beside a plain model: a map of entries, and maps of groups.

use std::collections::BTreeMap;

use ringlane_base::Millis;

use super::*;
use crate::types::{Change, Delivery};

type Entry = Vec<(Vec<u8>, Vec<u8>)>;
/// Group, then id: consumer, time, deliveries.
type Given = BTreeMap<StreamId, (Vec<u8>, u64, u64)>;

#[derive(Default)]
struct Model {
    entries: BTreeMap<StreamId, Entry>,
    last: StreamId,
    added: u64,
    groups: BTreeMap<Vec<u8>, Given>,
}

/// A stream with the changes that made it.
struct Subject {
    stream: Stream,
    changes: Vec<Change>,
    limits: PackLimits,
}

impl Subject {
    fn new(limits: PackLimits) -> Self {
        Self { stream: Stream::empty(), changes: Vec::new(), limits }
    }

    fn edit<R>(&mut self, edit: impl FnOnce(&mut Edit<'_, Stream>) -> R) -> R {
        edit(&mut Edit {
            value: &mut self.stream,
            limits: &self.limits,
            now: Now::both(Millis(5)),
            changes: Some(&mut self.changes),
        })
    }
}

fn shown(entry: StreamEntry<'_>) -> (StreamId, Entry) {
    assert_eq!(entry.fields().count(), entry.len());
    (entry.id, entry.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
}

fn entries(view: StreamView<'_>) -> Vec<(StreamId, Entry)> {
    view.range(StreamId::MIN, StreamId::MAX).map(shown).collect()
}

fn given(view: StreamView<'_>) -> BTreeMap<Vec<u8>, Given> {
    let of_group = |group: &Group| -> Given {
        let all = group.pending_range(StreamId::MIN, StreamId::MAX);
        let all: Given = all
            .map(|(id, name, it)| (id, (name.to_vec(), it.delivered_at.0, it.deliveries)))
            .collect();
        let by_consumer: usize = group.consumers().map(|(_, it)| it.pending_len()).sum();
        assert_eq!((all.len(), group.pending_len()), (by_consumer, by_consumer));
        let mut by_age: Vec<_> = all.iter().map(|(id, (_, at, _))| (*at, *id)).collect();
        by_age.sort_unstable();
        let told = group.pending_by_age().map(|(id, it)| (it.delivered_at.0, id));
        assert_eq!(told.collect::<Vec<_>>(), by_age);
        for (name, _) in group.consumers() {
            let its = group.pending_of_consumer(name, StreamId::MIN, StreamId::MAX);
            assert!(its.map(|(id, _)| &all[&id].0).all(|owner| owner == name));
        }
        all
    };
    view.groups().map(|(name, group)| (name.to_vec(), of_group(group))).collect()
}

/// The heap bytes, counted anew.
fn counted(log: &StreamLog) -> usize {
    let blocks: usize = log.blocks.values().map(Block::heap).sum();
    let groups = log.groups.iter().map(|(name, group)| group_key_bytes(name) + group.bytes());
    blocks + groups.sum::<usize>()
}

fn random_id(dice: &mut fastrand::Rng, model: &Model) -> StreamId {
    let ids: Vec<_> = model.entries.keys().copied().collect();
    match dice.u8(..8) {
        0 => StreamId { ms: dice.u64(..200), seq: dice.u64(..3) },
        1 => StreamId::MIN,
        2 => StreamId::MAX,
        _ if ids.is_empty() => StreamId::MIN,
        _ => ids[dice.usize(..ids.len())],
    }
}

fn random_entry(dice: &mut fastrand::Rng) -> Entry {
    let names: [&[u8]; 4] = [b"name", b"7", b"", b"a longer name"];
    let sensor = dice.bool();
    let count = if sensor { 2 } else { dice.usize(1..4) };
    (0..count)
        .map(|at| {
            let name = if sensor { names[at] } else { names[dice.usize(..4)] };
            let length = if dice.u8(..50) == 0 { 500 } else { dice.usize(..12) };
            let value = if dice.bool() {
                dice.i32(..).to_string().into_bytes()
            } else {
                vec![b'v'; length]
            };
            (name.to_vec(), value)
        })
        .collect()
}

fn add(dice: &mut fastrand::Rng, subject: &mut Subject, model: &mut Model) {
    let id = match dice.u8(..4) {
        0 => StreamId { ms: model.last.ms + dice.u64(1..300), seq: dice.u64(..9) },
        _ => model.last.next().expect("far from the end"),
    };
    let entry = random_entry(dice);
    let flat: Vec<&[u8]> = entry.iter().flat_map(|(name, value)| [&name[..], value]).collect();
    subject.edit(|stream| stream.append(id, &flat));
    (model.last, model.added) = (id, model.added + 1);
    model.entries.insert(id, entry);
}

fn trim(dice: &mut fastrand::Rng, subject: &mut Subject, model: &mut Model) {
    let to = if dice.bool() {
        TrimTo::Length(model.entries.len() as u64 * dice.u64(..5) / 4)
    } else {
        TrimTo::Id(random_id(dice, model))
    };
    let whole_blocks = dice.bool();
    let entries_max = [0, 0, 5, 50][dice.usize(..4)];
    let before = model.entries.len() as u64;
    let gone = subject.edit(|stream| stream.trim(Trim { to, whole_blocks, entries_max }));
    let wanted = match to {
        TrimTo::Length(most) => before.saturating_sub(most),
        TrimTo::Id(id) => model.entries.range(..id).count() as u64,
    };
    assert!(gone <= wanted, "{to:?}: {gone} of {wanted}");
    if !whole_blocks && entries_max == 0 {
        assert_eq!(gone, wanted, "{to:?}");
    }
    for _ in 0..gone {
        model.entries.pop_first();
    }
}

fn change_groups(dice: &mut fastrand::Rng, subject: &mut Subject, model: &mut Model) {
    let group = [&b"g"[..], b"h"][dice.usize(..2)];
    let consumer = [&b"alice"[..], b"bob", b"carol"][dice.usize(..3)];
    let id = random_id(dice, model);
    let (at, deliveries) = (dice.u64(..100), dice.u64(..5));
    let Some(given) = model.groups.get_mut(group) else {
        subject.edit(|stream| stream.set_group(group, id, None));
        model.groups.insert(group.to_vec(), Given::new());
        return;
    };
    match dice.u8(..20) {
        0 => {
            assert!(subject.edit(|stream| stream.remove_group(group)));
            model.groups.remove(group);
        }
        1 => {
            let had = given.len();
            given.retain(|_, (owner, _, _)| owner != consumer);
            let gone = subject.edit(|stream| stream.remove_consumer(group, consumer));
            assert_eq!(gone.unwrap_or(0) as usize, had - given.len());
        }
        2 => subject.edit(|stream| stream.set_consumer(group, consumer, Millis(at), None)),
        3 => subject.edit(|stream| stream.set_group(group, id, Some(deliveries))),
        4..8 => {
            let settled = subject.edit(|stream| stream.settle(group, id));
            assert_eq!(settled, given.remove(&id).is_some());
        }
        _ => {
            let delivery = Delivery { consumer, at: Millis(at), count: deliveries };
            subject.edit(|stream| stream.deliver(group, id, delivery));
            given.insert(id, (consumer.to_vec(), at, deliveries));
        }
    }
}

fn check_reads(dice: &mut fastrand::Rng, view: StreamView<'_>, model: &Model) {
    let (a, b) = (random_id(dice, model), random_id(dice, model));
    let expected: Vec<(StreamId, Entry)> = if a <= b {
        model.entries.range(a..=b).map(|(id, entry)| (*id, entry.clone())).collect()
    } else {
        Vec::new()
    };
    let forward: Vec<_> = view.range(a, b).map(shown).collect();
    let mut backward: Vec<_> = view.range_back(a, b).map(shown).collect();
    backward.reverse();
    assert_eq!(forward, expected);
    assert_eq!(backward, expected);
    assert_eq!(
        view.get(a).map(shown),
        model.entries.get_key_value(&a).map(|(k, v)| (*k, v.clone()))
    );
    assert_eq!(view.len(), model.entries.len());
    assert_eq!(view.first().map(|entry| entry.id), model.entries.keys().next().copied());
    assert_eq!(view.last().map(|entry| entry.id), model.entries.keys().last().copied());
    assert_eq!((view.last_id(), view.entries_added()), (model.last, model.added));
}

fn run(seed: u64, limits: PackLimits) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut subject = Subject::new(limits);
    let mut copy = Subject::new(limits);
    let mut model = Model::default();
    assert!(subject.stream.is_empty());
    for step in 0..1_500 {
        match dice.u8(..20) {
            0 => trim(&mut dice, &mut subject, &mut model),
            1..4 => {
                let id = random_id(&mut dice, &model);
                let deleted = subject.edit(|stream| stream.delete(id));
                assert_eq!(deleted, model.entries.remove(&id).is_some());
            }
            4..8 => change_groups(&mut dice, &mut subject, &mut model),
            _ => add(&mut dice, &mut subject, &mut model),
        }
        let view = subject.stream.as_view();
        check_reads(&mut dice, view, &model);
        let log = view.structure();
        assert_eq!(log.bytes, counted(log), "seed {seed}, step {step}");
        for change in subject.changes.drain(..) {
            assert!(copy.edit(|stream| stream.apply(&change)));
        }
        if step % 50 == 0 {
            let (ours, theirs) = (subject.stream.as_view(), copy.stream.as_view());
            assert_eq!(entries(ours), model.entries.clone().into_iter().collect::<Vec<_>>());
            assert_eq!(entries(theirs), entries(ours));
            assert_eq!(given(ours), model.groups);
            assert_eq!(given(theirs), model.groups);
            assert_eq!(theirs.max_deleted_id(), ours.max_deleted_id());
        }
    }
    let log = subject.stream.log_mut();
    let mut units = 3;
    while !log.free_some(&mut units) {
        units = 3;
    }
    assert_eq!((log.bytes, log.len()), (0, 0));
}

#[test]
fn streams_are_as_the_model() {
    for seed in 1..4 {
        run(seed, PackLimits::default());
        run(seed + 100, PackLimits { stream_node_max_entries: 4, ..PackLimits::default() });
        let unbounded = PackLimits {
            stream_node_max_bytes: 0,
            stream_node_max_entries: 0,
            ..PackLimits::default()
        };
        run(seed + 200, unbounded);
    }
}

#[test]
fn entries_with_the_names_of_their_block_are_short() {
    let mut subject = Subject::new(PackLimits::default());
    for number in 0..100_u64 {
        let (temperature, humidity) = (number.to_string(), (100 - number).to_string());
        let fields: [&[u8]; 4] =
            [b"temperature", temperature.as_bytes(), b"humidity", humidity.as_bytes()];
        let id = StreamId { ms: 1_700_000_000_000 + number * 3, seq: 0 };
        subject.edit(|stream| stream.append(id, &fields));
    }
    let log = subject.stream.as_view().structure();
    assert_eq!(log.blocks.len(), 1);
    let bytes = log.blocks.values().next().expect("one block").bytes.len();
    assert!(bytes < 100 * 8, "{bytes}");
}

#[test]
fn ids_have_neighbours_but_at_the_ends() {
    let id = |ms, seq| StreamId { ms, seq };
    assert_eq!(id(3, 4).next(), Some(id(3, 5)));
    assert_eq!(id(3, u64::MAX).next(), Some(id(4, 0)));
    assert_eq!(StreamId::MAX.next(), None);
    assert_eq!(id(3, 4).previous(), Some(id(3, 3)));
    assert_eq!(id(3, 0).previous(), Some(id(2, u64::MAX)));
    assert_eq!(StreamId::MIN.previous(), None);
    assert_eq!(id(3, 4).to_string(), "3-4");
}
