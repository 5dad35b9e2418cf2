//! The points at which tests make this crate fail, as its own errors.

use crate::RepositoryError;
use std::path::PathBuf;
use vellum_faults::Point;
use vellum_format::ObjectKind;
use vellum_storage::StorageError;

/// [`vellum_faults::reach`]; what a test wants to go wrong looks like a failure of the storage.
#[inline(always)]
pub(crate) fn reach(point: Point) -> Result<(), RepositoryError> {
    let failed = |source| StorageError::from_io("use", PathBuf::from(point.name()), source).into();
    vellum_faults::reach(point).map_err(failed)
}

/// Before, between and after the copies of an object that is stored.
#[inline(always)]
pub(crate) const fn around_put(kind: ObjectKind) -> Option<[Point; 3]> {
    Some(match kind {
        ObjectKind::Config => [Point::ConfigBeforePut, Point::ConfigBetweenCopies, Point::ConfigAfterPut],
        ObjectKind::Key => [Point::KeyBeforePut, Point::KeyBetweenCopies, Point::KeyAfterPut],
        ObjectKind::Catalog => [Point::CatalogBeforePut, Point::CatalogBetweenCopies, Point::CatalogAfterPut],
        ObjectKind::Snapshot => [Point::SnapshotBeforePut, Point::SnapshotBetweenCopies, Point::SnapshotAfterPut],
        ObjectKind::Condemned => [Point::CondemnedBeforePut, Point::CondemnedBetweenCopies, Point::CondemnedAfterPut],
        ObjectKind::Fence => [Point::FenceBeforePut, Point::FenceBetweenCopies, Point::FenceAfterPut],
        _ => return None,
    })
}
