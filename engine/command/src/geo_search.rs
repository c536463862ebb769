//! Searching geographic indices: GEOSEARCH, GEORADIUS and their kin. Options are read in Redis's order,
//! so that of several mistakes the same one is told.

use ringlane_store::types::{Edge, Item, SortedSet, SortedView};

use crate::geo::{parse_place, parse_unit, place_of, write_distance, write_place};
use crate::geohash::{Area, Place, Shape};
use crate::hash::write_item;
use crate::parse::{self, is, printable};
use crate::score::float;
use crate::sorted::store_members;
use crate::{Args, CommandError, Context, Reply};

/// Bytes of the command's name that an error text repeats: all of it.
const NAME_BYTES_MAX: usize = 32;

/// What it takes to reckon how far a member is: as long as answering so many.
const VISITS: usize = 2;
/// Corners of a polygon that take as long to look at as one member to answer.
const CORNERS_A_VISIT: usize = 8;
const CORNERS_MIN: usize = 3;

/// How a command of the family is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `GEORADIUS key longitude latitude radius unit …`
    AroundPlace,
    /// `GEORADIUSBYMEMBER key member radius unit …`
    AroundMember,
    /// `GEOSEARCH key …`
    Search,
    /// `GEOSEARCHSTORE to key …`
    SearchStore,
}

impl Form {
    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }

    fn key(self) -> usize {
        if self == Form::SearchStore { 2 } else { 1 }
    }

    /// Where the options begin.
    fn options(self) -> usize {
        match self {
            Form::AroundPlace => 6,
            Form::AroundMember => 5,
            Form::Search => 2,
            Form::SearchStore => 3,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Nearest,
    Farthest,
}

/// What a search goes around.
#[derive(Clone, Copy, PartialEq)]
enum Centre {
    Place(Place),
    Member(Place),
    /// The middle of a polygon.
    Middle(Place),
    /// A member of an index that is not there.
    Nowhere,
}

/// What is told of each member found, besides its name.
#[derive(Clone, Copy, Default)]
struct Shown {
    distance: bool,
    hash: bool,
    place: bool,
}

impl Shown {
    fn count(self) -> usize {
        usize::from(self.distance) + usize::from(self.hash) + usize::from(self.place)
    }
}

/// What a search command asks for.
struct Request {
    centre: Option<Centre>,
    shape: Option<Shape>,
    /// Metres in the unit of distances.
    unit: f64,
    shown: Shown,
    /// `ANY`: the first that are found will do.
    any: bool,
    order: Option<Order>,
    count: Option<usize>,
    /// The argument that is the destination.
    store_at: Option<usize>,
    /// The destination's scores are distances.
    store_distances: bool,
}

fn distance(text: &[u8], refusal: &'static str) -> Result<f64, CommandError> {
    float(text, CommandError::Fixed(refusal))
}

impl Request {
    /// `radius unit`
    fn set_circle(&mut self, radius: &[u8], unit: &[u8]) -> Result<(), CommandError> {
        let radius = distance(radius, "ERR need numeric radius")?;
        if radius < 0.0 {
            return Err(CommandError::Fixed("ERR radius cannot be negative"));
        }
        self.unit = parse_unit(unit)?;
        self.shape = Some(Shape::Circle { radius: radius * self.unit });
        Ok(())
    }

    /// `width height unit`
    fn set_box(&mut self, width: &[u8], height: &[u8], unit: &[u8]) -> Result<(), CommandError> {
        let width = distance(width, "ERR need numeric width")?;
        let height = distance(height, "ERR need numeric height")?;
        if width < 0.0 || height < 0.0 {
            return Err(CommandError::Fixed("ERR height or width cannot be negative"));
        }
        self.unit = parse_unit(unit)?;
        self.shape = Some(Shape::Box { width: width * self.unit, height: height * self.unit });
        Ok(())
    }

    /// `num-vertices longitude latitude [longitude latitude ...]`, of which `words` are what is there;
    /// says how many arguments it took.
    fn set_polygon(&mut self, count: &[u8], words: &[&[u8]]) -> Result<usize, CommandError> {
        let count = parse::integer(count)
            .map_err(|_| CommandError::Fixed("ERR invalid number of vertices"))?;
        let count = usize::try_from(count).unwrap_or(0);
        let (pairs, _) = words.as_chunks::<2>();
        if count < CORNERS_MIN || pairs.len() < count {
            return Err(CommandError::Fixed(
                "ERR GEOSEARCH BYPOLYGON must have at least 3 vertices",
            ));
        }
        let corners =
            pairs[..count].iter().map(|[longitude, latitude]| parse_place(longitude, latitude));
        let corners = corners.collect::<Result<Vec<Place>, CommandError>>()?;
        self.centre = Some(Centre::Middle(Place::middle_of(&corners)));
        self.shape = Some(Shape::Polygon { corners });
        Ok(1 + 2 * count)
    }

    fn set_member(
        &mut self,
        set: Option<SortedView<'_>>,
        member: &[u8],
    ) -> Result<(), CommandError> {
        self.centre = Some(match set {
            None => Centre::Nowhere,
            Some(set) => Centre::Member(
                place_of(set, member)
                    .ok_or(CommandError::Fixed("ERR could not decode requested zset member"))?,
            ),
        });
        Ok(())
    }

    fn parse(
        args: Args<'_>,
        form: Form,
        may_store: bool,
        set: Option<SortedView<'_>>,
    ) -> Result<Self, CommandError> {
        let mut request = Self {
            centre: None,
            shape: None,
            unit: 1.0,
            shown: Shown::default(),
            any: false,
            order: None,
            count: None,
            store_at: (form == Form::SearchStore).then_some(1),
            store_distances: false,
        };
        match form {
            Form::AroundPlace => {
                request.centre = Some(Centre::Place(parse_place(&args[2], &args[3])?));
                request.set_circle(&args[4], &args[5])?;
            }
            Form::AroundMember => {
                request.set_member(set, &args[2])?;
                // Without an index Redis does not look at the radius.
                if set.is_some() {
                    request.set_circle(&args[3], &args[4])?;
                }
            }
            Form::Search | Form::SearchStore => {}
        }
        let mut at = form.options();
        while at < args.len() {
            at += 1 + match request.set_option(args, at) {
                Some(()) => 0,
                None if form.is_search() => request.set_search_option(args, at, form, set)?,
                None => request.set_store_option(args, at, may_store)?,
            };
        }
        request.check(args, form)?;
        Ok(request)
    }

    /// Options without arguments that all forms have.
    fn set_option(&mut self, args: Args<'_>, at: usize) -> Option<()> {
        let option = &args[at];
        match option {
            option if is(option, "withdist") => self.shown.distance = true,
            option if is(option, "withhash") => self.shown.hash = true,
            option if is(option, "withcoord") => self.shown.place = true,
            option if is(option, "any") => self.any = true,
            option if is(option, "asc") => self.order = Some(Order::Nearest),
            option if is(option, "desc") => self.order = Some(Order::Farthest),
            _ => return None,
        }
        Some(())
    }

    /// COUNT, if that is what stands there; says how many arguments it took.
    fn set_count(&mut self, args: Args<'_>, at: usize) -> Result<usize, CommandError> {
        match args.from(at) {
            [option, count, ..] if is(option, "count") => {
                let count = parse::integer(count)?;
                if count <= 0 {
                    return Err(CommandError::Fixed("ERR COUNT must be > 0"));
                }
                self.count = Some(usize::try_from(count).unwrap_or(usize::MAX));
                Ok(1)
            }
            _ => Err(CommandError::Syntax),
        }
    }

    /// The options of GEORADIUS; says how many arguments follow one.
    fn set_store_option(
        &mut self,
        args: Args<'_>,
        at: usize,
        may_store: bool,
    ) -> Result<usize, CommandError> {
        let option = &args[at];
        let distances = is(option, "storedist");
        if may_store && args.len() > at + 1 && (distances || is(option, "store")) {
            self.store_at = Some(at + 1);
            self.store_distances = distances;
            return Ok(1);
        }
        self.set_count(args, at)
    }

    /// The options of GEOSEARCH; says how many arguments follow one.
    fn set_search_option(
        &mut self,
        args: Args<'_>,
        at: usize,
        form: Form,
        set: Option<SortedView<'_>>,
    ) -> Result<usize, CommandError> {
        let by_place = matches!(self.centre, Some(Centre::Place(_) | Centre::Middle(_)));
        let by_member =
            matches!(self.centre, Some(Centre::Member(_) | Centre::Nowhere | Centre::Middle(_)));
        let round = matches!(self.shape, None | Some(Shape::Circle { .. }));
        let square = matches!(self.shape, None | Some(Shape::Box { .. }));
        match args.from(at) {
            [option, member, ..] if is(option, "frommember") && !by_place => {
                self.set_member(set, member)?;
                Ok(1)
            }
            [option, longitude, latitude, ..] if is(option, "fromlonlat") && !by_member => {
                self.centre = Some(Centre::Place(parse_place(longitude, latitude)?));
                Ok(2)
            }
            [option, radius, unit, ..] if is(option, "byradius") && round => {
                self.set_circle(radius, unit)?;
                Ok(2)
            }
            [option, width, height, unit, ..] if is(option, "bybox") && square => {
                self.set_box(width, height, unit)?;
                Ok(3)
            }
            [option, count, corners @ ..]
                if is(option, "bypolygon")
                    && matches!(self.centre, None | Some(Centre::Middle(_)))
                    && matches!(self.shape, None | Some(Shape::Polygon { .. })) =>
            {
                self.set_polygon(count, corners)
            }
            [option, ..] if is(option, "storedist") && form == Form::SearchStore => {
                self.store_distances = true;
                Ok(0)
            }
            _ => self.set_count(args, at),
        }
    }

    /// Refuses what does not go together, and what is missing.
    fn check(&self, args: Args<'_>, form: Form) -> Result<(), CommandError> {
        if self.store_at.is_some() && self.shown.count() > 0 {
            return Err(CommandError::Fixed(if form == Form::SearchStore {
                "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            } else {
                "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and \
                 WITHCOORD options"
            }));
        }
        let name = || printable(&args[0], NAME_BYTES_MAX);
        if form.is_search() && self.centre.is_none() {
            return Err(CommandError::Text(format!(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {}",
                name()
            )));
        }
        if form.is_search() && self.shape.is_none() {
            return Err(CommandError::Text(format!(
                "ERR exactly one of BYRADIUS and BYBOX can be specified for {}",
                name()
            )));
        }
        if self.any && self.count.is_none() {
            return Err(CommandError::Fixed("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// Where it looks, if anywhere.
    fn area(&self) -> Option<Area<'_>> {
        let shape = self.shape.as_ref()?;
        match self.centre? {
            Centre::Place(centre) | Centre::Member(centre) | Centre::Middle(centre) => {
                Some(Area { centre, shape })
            }
            Centre::Nowhere => None,
        }
    }

    /// How many elements it takes as long to visit.
    fn visits(&self, set: SortedView<'_>) -> usize {
        let Some(area) = self.area() else { return 0 };
        let rank = |score| set.rank_of(Edge::Score { score, behind: false });
        let length = |(first, behind)| rank(behind) - rank(first);
        let members: usize = area.cells().map(|cell| length(cell.scores())).sum();
        let visits = match area.shape {
            Shape::Circle { .. } | Shape::Box { .. } => VISITS,
            Shape::Polygon { corners } => VISITS + corners.len() / CORNERS_A_VISIT,
        };
        members.saturating_mul(visits)
    }

    /// What the search finds, in the order asked for; empty without an index.
    fn find<'a>(&self, set: SortedView<'a>) -> Vec<Found<'a>> {
        let Some(area) = self.area() else { return Vec::new() };
        let enough = if self.any { self.count.unwrap_or(usize::MAX) } else { usize::MAX };
        let mut found = Vec::new();
        for cell in area.cells() {
            let (first, behind) = cell.scores();
            let rank = |score| set.rank_of(Edge::Score { score, behind: false });
            let (first, behind) = (rank(first), rank(behind));
            for (member, score) in set.range(first, behind - first) {
                if found.len() >= enough {
                    break;
                }
                let place = Place::of_score(score);
                if let Some(distance) = area.distance_within(place) {
                    found.push(Found { member, score, place, distance });
                }
            }
        }
        // Some of all would be any of them: the nearest ones are meant.
        let nearest = self.count.is_some() && !self.any;
        match self.order.or(nearest.then_some(Order::Nearest)) {
            Some(Order::Nearest) => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Some(Order::Farthest) => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
            None => {}
        }
        found.truncate(self.count.unwrap_or(usize::MAX));
        found
    }

    fn write(&self, reply: &mut dyn Reply, found: &[Found<'_>]) {
        reply.array(found.len());
        for found in found {
            if self.shown.count() > 0 {
                reply.array(1 + self.shown.count());
            }
            write_item(reply, found.member);
            if self.shown.distance {
                write_distance(reply, found.distance / self.unit);
            }
            if self.shown.hash {
                reply.integer(found.score as i64);
            }
            if self.shown.place {
                write_place(reply, found.place);
            }
        }
    }
}

/// A member within the area.
struct Found<'a> {
    member: Item<'a>,
    score: f64,
    place: Place,
    /// Metres from the centre.
    distance: f64,
}

fn search(context: &mut Context<'_>, form: Form, may_store: bool) -> Result<(), CommandError> {
    let key = context.key(form.key());
    let set = context.store.view::<SortedSet>(&key)?;
    let request = Request::parse(context.args, form, may_store, set)?;
    if let Some(set) = set {
        let visits = request.visits(set);
        context.limits.claim_of(visits, (set.len(), set.bytes()))?;
    }
    let found = set.map_or(Vec::new(), |set| request.find(set));
    let Some(to) = request.store_at else {
        request.write(context.reply, &found);
        return Ok(());
    };
    let members: Vec<(Vec<u8>, f64)> = found
        .iter()
        .map(|found| {
            let distance = found.distance / request.unit;
            let score = if request.store_distances { distance } else { found.score };
            (found.member.to_vec(), score)
        })
        .collect();
    let to = context.new_key(to)?;
    let event = if form.is_search() { "geosearchstore" } else { "georadiusstore" };
    store_members(context, &to, members.iter().map(|(member, score)| (&member[..], *score)), event)
}

/// `GEOSEARCH key FROMMEMBER member | FROMLONLAT longitude latitude BYRADIUS radius unit | BYBOX width
/// height unit`, or `GEOSEARCH key BYPOLYGON num-vertices longitude latitude …`, `[ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]`
pub fn geosearch(context: &mut Context<'_>) -> Result<(), CommandError> {
    search(context, Form::Search, false)
}

/// `GEOSEARCHSTORE to key …`, as GEOSEARCH, `[STOREDIST]`
pub fn geosearchstore(context: &mut Context<'_>) -> Result<(), CommandError> {
    search(context, Form::SearchStore, false)
}

/// `GEORADIUS key longitude latitude radius unit [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]]
/// [ASC | DESC] [STORE to | STOREDIST to]`
pub fn georadius(context: &mut Context<'_>) -> Result<(), CommandError> {
    search(context, Form::AroundPlace, true)
}

/// `GEORADIUS_RO`, as GEORADIUS but for STORE and STOREDIST
pub fn georadius_ro(context: &mut Context<'_>) -> Result<(), CommandError> {
    search(context, Form::AroundPlace, false)
}

/// `GEORADIUSBYMEMBER key member radius unit …`, as GEORADIUS
pub fn georadiusbymember(context: &mut Context<'_>) -> Result<(), CommandError> {
    search(context, Form::AroundMember, true)
}

/// `GEORADIUSBYMEMBER_RO`, as GEORADIUSBYMEMBER but for STORE and STOREDIST
pub fn georadiusbymember_ro(context: &mut Context<'_>) -> Result<(), CommandError> {
    search(context, Form::AroundMember, false)
}
