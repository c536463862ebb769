//! Unions, intersections and differences of sorted sets, and of plain sets, whose members count as
//! scored 1. Builds each result apart before anything is stored.

use std::collections::HashMap;

use ringlane_store::types::{Item, Set, SetView, SortedSet, SortedView};
use ringlane_store::{CollectionType, Key, TypeName, Value};

use crate::list::positive;
use crate::parse::{self, is};
use crate::score::float;
use crate::sorted::{Scored, VISITS_A_MEMBER, store_members, write_members};
use crate::{CommandError, Context, HandlerLimits};

/// What is made of the sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores of a member become one.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Least,
    Greatest,
    /// The weights of the sets that have the member are added up; its scores do not matter.
    Count,
}

impl Aggregate {
    /// What a member of this score counts for, in a set of this weight.
    fn weighted(self, score: f64, weight: f64) -> f64 {
        match self {
            Self::Sum | Self::Least | Self::Greatest => weight * score,
            Self::Count => weight,
        }
    }

    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of both signs: nothing, as in Redis.
            Self::Sum | Self::Count => or_zero(a + b),
            Self::Least => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Self::Greatest => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

/// A weighted score that is no number counts as 0, as in Redis.
fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A set to read, of either type.
#[derive(Clone, Copy)]
enum Source<'a> {
    None,
    Sorted(SortedView<'a>),
    Plain(SetView<'a>),
}

impl<'a> Source<'a> {
    fn of(context: &'a mut Context<'_>, key: &Key<'_>) -> Result<Self, CommandError> {
        let now = context.store.now();
        match context.store.get(key) {
            None => Ok(Self::None),
            Some(Value::Collection(view)) if view.type_name == TypeName::SortedSet => {
                Ok(Self::Sorted(SortedSet::view(view.body, now)))
            }
            Some(Value::Collection(view)) if view.type_name == TypeName::Set => {
                Ok(Self::Plain(Set::view(view.body, now)))
            }
            Some(Value::Text(_) | Value::Integer(_) | Value::Blob(_) | Value::Collection(_)) => {
                Err(CommandError::WrongType)
            }
        }
    }

    fn len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Sorted(set) => set.len(),
            Self::Plain(set) => set.len(),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::Sorted(set) => set.bytes(),
            Self::Plain(set) => set.bytes(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Sorted(set) => set.score(member),
            Self::Plain(set) => set.contains(member).then_some(1.0),
        }
    }

    fn for_each(self, mut visit: impl FnMut(Item<'a>, f64)) {
        match self {
            Self::None => {}
            Self::Sorted(set) => set.iter().for_each(|(member, score)| visit(member, score)),
            Self::Plain(set) => set.iter().for_each(|member| visit(member, 1.0)),
        }
    }
}

/// One of the sets: its key's argument, its weight, its length.
#[derive(Clone, Copy)]
struct Input {
    key: usize,
    weight: f64,
    len: usize,
    bytes: usize,
}

struct Request {
    operation: Operation,
    inputs: Vec<Input>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Members that ZINTERCARD counts at most.
    limit: usize,
}

/// How a command of the family is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Members,
    /// The destination is argument 1.
    Store,
    Count,
}

impl Request {
    /// Reads the arguments; `name` is the command's in lower case. The keys are looked at before the
    /// options, so that a wrong type is told first, as in Redis.
    fn parse(
        context: &mut Context<'_>,
        operation: Operation,
        answer: Answer,
        name: &'static str,
    ) -> Result<Self, CommandError> {
        let first = if answer == Answer::Store { 3 } else { 2 };
        let args = context.args;
        let count = parse::integer(&args[first - 1])?;
        if count < 1 {
            return Err(CommandError::Text(format!(
                "ERR at least 1 input key is needed for '{name}' command"
            )));
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > args.from(first).len() {
            return Err(CommandError::Syntax);
        }
        let mut inputs = Vec::with_capacity(count);
        for at in first..first + count {
            let key = context.key(at);
            let source = Source::of(context, &key)?;
            let (len, bytes) = (source.len(), source.bytes());
            inputs.push(Input { key: at, weight: 1.0, len, bytes });
        }
        let mut request = Self {
            operation,
            inputs,
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: usize::MAX,
        };
        request.parse_options(args.from(first + count), answer)?;
        request.claim(context.limits)?;
        if operation != Operation::Difference {
            // The sums of scores come out as in Redis, which begins with the smallest set.
            request.inputs.sort_by_key(|input| input.len);
        }
        Ok(request)
    }

    /// Asks for the time that it takes to go through the sets and to make the result.
    fn claim(&self, limits: HandlerLimits) -> Result<(), CommandError> {
        let for_each_input = |input: &Input| {
            let times = self.inputs.len();
            (input.len.saturating_mul(times), input.bytes.saturating_mul(times))
        };
        let (visits, bytes) = match self.operation {
            Operation::Union => self
                .inputs
                .iter()
                .fold((0, 0), |(len, bytes), input| (len + input.len, bytes + input.bytes)),
            Operation::Intersection => {
                let smallest = self.inputs.iter().min_by_key(|input| input.len);
                smallest.map_or((0, 0), for_each_input)
            }
            Operation::Difference => for_each_input(&self.inputs[0]),
        };
        limits.claim(visits.saturating_mul(VISITS_A_MEMBER))?;
        limits.claim_bytes(bytes)
    }

    fn parse_options(&mut self, mut rest: &[&[u8]], answer: Answer) -> Result<(), CommandError> {
        let takes_weights = self.operation != Operation::Difference && answer != Answer::Count;
        while let [option, after @ ..] = rest {
            rest = after;
            if takes_weights && is(option, "weights") && rest.len() >= self.inputs.len() {
                let (weights, after) = rest.split_at(self.inputs.len());
                for (input, weight) in self.inputs.iter_mut().zip(weights) {
                    let refusal = CommandError::Fixed("ERR weight value is not a float");
                    input.weight = float(weight, refusal)?;
                }
                rest = after;
            } else if let (true, [word, after @ ..]) =
                (takes_weights && is(option, "aggregate"), rest)
            {
                self.aggregate = match word {
                    word if is(word, "sum") => Aggregate::Sum,
                    word if is(word, "min") => Aggregate::Least,
                    word if is(word, "max") => Aggregate::Greatest,
                    word if is(word, "count") => Aggregate::Count,
                    _ => return Err(CommandError::Syntax),
                };
                rest = after;
            } else if answer == Answer::Members && is(option, "withscores") {
                self.with_scores = true;
            } else if let (true, [limit, after @ ..]) =
                (answer == Answer::Count && is(option, "limit"), rest)
            {
                self.limit = match positive(limit, "ERR LIMIT can't be negative")? {
                    0 => usize::MAX,
                    limit => limit,
                };
                rest = after;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(())
    }

    /// The members of the result, in no order.
    fn run(&self, context: &mut Context<'_>) -> Result<Vec<Scored>, CommandError> {
        match self.operation {
            Operation::Union => self.union(context),
            Operation::Intersection => self.intersection(context),
            Operation::Difference => self.difference(context),
        }
    }

    fn union(&self, context: &mut Context<'_>) -> Result<Vec<Scored>, CommandError> {
        let mut scores: HashMap<Vec<u8>, f64> = HashMap::new();
        for input in &self.inputs {
            let key = context.key(input.key);
            Source::of(context, &key)?.for_each(|member, score| {
                let score = or_zero(self.aggregate.weighted(score, input.weight));
                let mut buffer = itoa::Buffer::new();
                let member = member.bytes(&mut buffer);
                match scores.get_mut(member) {
                    Some(sum) => *sum = self.aggregate.of(*sum, score),
                    None => drop(scores.insert(member.to_vec(), score)),
                }
            });
        }
        Ok(scores.into_iter().collect())
    }

    fn intersection(&self, context: &mut Context<'_>) -> Result<Vec<Scored>, CommandError> {
        let [smallest, others @ ..] = &self.inputs[..] else {
            unreachable!("at least one key is named");
        };
        let mut members = Vec::new();
        let key = context.key(smallest.key);
        Source::of(context, &key)?.for_each(|member, score| {
            let score = or_zero(self.aggregate.weighted(score, smallest.weight));
            members.push((member.to_vec(), score));
        });
        for input in others {
            let key = context.key(input.key);
            let source = Source::of(context, &key)?;
            members.retain_mut(|(member, sum)| match source.score(member) {
                Some(score) => {
                    let score = self.aggregate.weighted(score, input.weight);
                    *sum = self.aggregate.of(*sum, score);
                    true
                }
                None => false,
            });
        }
        Ok(members)
    }

    fn difference(&self, context: &mut Context<'_>) -> Result<Vec<Scored>, CommandError> {
        let [first, others @ ..] = &self.inputs[..] else {
            unreachable!("at least one key is named");
        };
        let mut members = Vec::with_capacity(first.len);
        let key = context.key(first.key);
        Source::of(context, &key)?.for_each(|member, score| members.push((member.to_vec(), score)));
        for input in others {
            let key = context.key(input.key);
            let source = Source::of(context, &key)?;
            members.retain(|(member, _)| source.score(member).is_none());
        }
        Ok(members)
    }
}

fn members(
    context: &mut Context<'_>,
    operation: Operation,
    name: &'static str,
) -> Result<(), CommandError> {
    let request = Request::parse(context, operation, Answer::Members, name)?;
    let mut members = request.run(context)?;
    members.sort_unstable_by(|a, b| {
        a.1.partial_cmp(&b.1).expect("no score is NaN").then_with(|| a.0.cmp(&b.0))
    });
    let members = members.iter().map(|(member, score)| (Item::of(member), *score));
    write_members(context.reply, members, request.with_scores);
    Ok(())
}

fn store(
    context: &mut Context<'_>,
    operation: Operation,
    name: &'static str,
) -> Result<(), CommandError> {
    let request = Request::parse(context, operation, Answer::Store, name)?;
    let members = request.run(context)?;
    let to = context.new_key(1)?;
    store_members(context, &to, members.iter().map(|(member, score)| (&member[..], *score)), name)
}

/// `ZUNION numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM | MIN | MAX | COUNT] [WITHSCORES]`
pub fn zunion(context: &mut Context<'_>) -> Result<(), CommandError> {
    members(context, Operation::Union, "zunion")
}

/// `ZINTER`, as ZUNION
pub fn zinter(context: &mut Context<'_>) -> Result<(), CommandError> {
    members(context, Operation::Intersection, "zinter")
}

/// `ZDIFF numkeys key [key …] [WITHSCORES]`
pub fn zdiff(context: &mut Context<'_>) -> Result<(), CommandError> {
    members(context, Operation::Difference, "zdiff")
}

/// `ZUNIONSTORE to numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM | MIN | MAX | COUNT]`
pub fn zunionstore(context: &mut Context<'_>) -> Result<(), CommandError> {
    store(context, Operation::Union, "zunionstore")
}

/// `ZINTERSTORE`, as ZUNIONSTORE
pub fn zinterstore(context: &mut Context<'_>) -> Result<(), CommandError> {
    store(context, Operation::Intersection, "zinterstore")
}

/// `ZDIFFSTORE to numkeys key [key …]`
pub fn zdiffstore(context: &mut Context<'_>) -> Result<(), CommandError> {
    store(context, Operation::Difference, "zdiffstore")
}

/// `ZINTERCARD numkeys key [key …] [LIMIT limit]`
pub fn zintercard(context: &mut Context<'_>) -> Result<(), CommandError> {
    let operation = Operation::Intersection;
    let request = Request::parse(context, operation, Answer::Count, "zintercard")?;
    let count = request.run(context)?.len().min(request.limit);
    context.reply.integer(count as i64);
    Ok(())
}
