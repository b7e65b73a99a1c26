//! Descriptors.

use crate::attribute::Value;
use crate::status::{Failure, Status};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::Arc;

/// `cudnnBackendDescriptorType_t`, as far as this library goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Config = 3,
    Heuristic = 4,
    Plan = 5,
    Graph = 15,
    Pack = 16,
    Tensor = 17,
    Attention = 41,
}

impl Kind {
    pub fn of(number: c_int) -> Option<Kind> {
        [
            Kind::Config,
            Kind::Heuristic,
            Kind::Plan,
            Kind::Graph,
            Kind::Pack,
            Kind::Tensor,
            Kind::Attention,
        ]
        .into_iter()
        .find(|kind| *kind as c_int == number)
    }
}

/// Attributes by name.
pub type Attributes = BTreeMap<c_int, Value>;

/// A descriptor that stays as it is. Others hold it though its handle is destroyed.
#[derive(Debug)]
pub struct Finalized {
    pub kind: Kind,
    pub attributes: Attributes,
}

/// A descriptor as its handle's holder has it.
#[derive(Debug)]
pub enum Descriptor {
    Building(Kind, Attributes),
    Finalized(Arc<Finalized>),
}

impl Descriptor {
    pub fn kind(&self) -> Kind {
        match self {
            Descriptor::Building(kind, _) => *kind,
            Descriptor::Finalized(finalized) => finalized.kind,
        }
    }

    pub fn finalized(&self) -> Result<&Arc<Finalized>, Failure> {
        match self {
            Descriptor::Finalized(finalized) => Ok(finalized),
            Descriptor::Building(kind, _) => {
                let message = format!("the {kind:?} is not finalized");
                Err(Failure::new(Status::NOT_FINALIZED, message))
            }
        }
    }
}

/// Attributes of a descriptor, by the types that [`crate::attribute::declared`] lets them have.
pub trait Described {
    fn kind(&self) -> Kind;
    fn value(&self, name: c_int) -> Option<&Value>;

    fn missing(&self, name: c_int) -> Failure {
        Failure::new(Status::BAD_PARAM, format!("{:?}: attribute {name} is not set", self.kind()))
    }

    fn numbers(&self, name: c_int) -> Result<&[i64], Failure> {
        match self.value(name) {
            Some(Value::Numbers(numbers)) => Ok(numbers),
            _ => Err(self.missing(name)),
        }
    }

    fn number(&self, name: c_int) -> Result<i64, Failure> {
        self.numbers(name)?.first().copied().ok_or_else(|| self.missing(name))
    }

    fn addresses(&self, name: c_int) -> Result<&[usize], Failure> {
        match self.value(name) {
            Some(Value::Addresses(addresses)) => Ok(addresses),
            _ => Err(self.missing(name)),
        }
    }

    fn address(&self, name: c_int) -> Result<usize, Failure> {
        self.addresses(name)?.first().copied().ok_or_else(|| self.missing(name))
    }

    /// The only descriptor that an attribute is, which is of that kind.
    fn descriptor(&self, name: c_int, kind: Kind) -> Result<&Arc<Finalized>, Failure> {
        match self.value(name) {
            Some(Value::Descriptors(found)) => match &found[..] {
                [one] if one.kind == kind => Ok(one),
                _ => {
                    let message =
                        format!("{:?}: attribute {name} must be one {kind:?}", self.kind());
                    Err(Failure::new(Status::DESCRIPTOR_TYPE, message))
                }
            },
            _ => Err(self.missing(name)),
        }
    }
}

impl Described for (Kind, &Attributes) {
    fn kind(&self) -> Kind {
        self.0
    }

    fn value(&self, name: c_int) -> Option<&Value> {
        self.1.get(&name)
    }
}

impl Described for Finalized {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn value(&self, name: c_int) -> Option<&Value> {
        self.attributes.get(&name)
    }
}
