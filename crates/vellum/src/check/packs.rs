//! Packs: which are there, what is wrong with those that are read, and the record of that for later checks.

use super::checker::Checker;
use super::sample::choose;
use super::{CheckOptions, Coverage, ParityCover, ReadData};
use crate::Error;
use crate::losses::look_at_packs;
use std::sync::atomic::Ordering;
use vellum_format::ObjectKind;
use vellum_format::verification::{CheckRun, Reach};
use vellum_repository::{Damage, FrameReader, RepositoryError};

impl Checker<'_> {
    /// The packs that catalogs list, and those that are there with their lengths.
    pub(super) fn count_packs(&mut self) -> Result<(), Error> {
        let listed = self.repository.catalogued_packs();
        self.stored = self.repository.names(ObjectKind::Pack)?;
        let there = listed.iter().filter(|(pack, _)| self.stored.contains_key(pack));
        self.report.parity = ParityCover::of(there.map(|(_, len_bytes)| *len_bytes));
        self.listed = listed.into_iter().map(|(pack, _)| pack).collect();
        self.report.packs = self.listed.len() as u64;
        self.report.packs_unlisted = self.stored.keys().filter(|pack| !self.listed.contains(pack)).count() as u64;
        Ok(())
    }

    pub(super) fn check_packs(&mut self, options: &CheckOptions) -> Result<(), Error> {
        self.count_packs()?;
        let chosen = choose(&self.stored, &self.listed, options.read_data, &self.known)?;
        self.context.progress.add_total(chosen.len() as u64, chosen.iter().map(|(_, len)| len).sum());
        self.context.progress.scan_finished.store(true, Ordering::Relaxed);
        let verify = |reader: &mut FrameReader, id| self.repository.verify_pack(reader, id);
        for (id, verdict) in look_at_packs(&chosen, self.context, verify)? {
            if matches!(&verdict, Ok(_) | Err(RepositoryError::Damaged { .. })) {
                self.readings.insert(id, verdict.is_ok());
            }
            match verdict {
                Ok(verdict) => {
                    self.report.packs_read += 1;
                    self.report.bytes_read += verdict.len_bytes;
                }
                Err(_) if !self.listed.contains(&id) => {} // an interrupted backup's; nothing refers to it
                Err(RepositoryError::Damaged { object, reason }) => {
                    self.read.insert(id, self.losses.add_pack(Damage { object, reason })?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.blame_packs()
    }

    /// Leaves what was read to later checks, and tells what is known by now.
    pub(super) fn remember(&mut self, options: &CheckOptions) -> Result<(), Error> {
        let report = &mut self.report;
        let Some(time) = options.now else { return Ok(()) };
        let says_more = match options.read_data {
            // That what was damaged still is, is known.
            ReadData::None => self.readings.values().any(|is_whole| *is_whole),
            _ => !self.readings.is_empty(),
        };
        if says_more || report.restore_test.files > 0 {
            let reach = match options.read_data {
                ReadData::None => Reach::Structure,
                ReadData::All => Reach::EveryByte,
                _ => Reach::Sample,
            };
            let (files_restored, findings) = (report.restore_test.files, report.finding_count);
            let device = self.repository.device_id()?;
            let run = CheckRun { time, device, reach, files_restored, findings };
            self.known.add(run, &self.readings);
            let recorded = self.repository.record_check(run, &self.readings);
            report.is_recorded = recorded.is_ok();
            report.not_recorded = recorded.err().map(|error| error.to_string());
        }
        let there = self.stored.keys().filter(|pack| self.listed.contains(pack));
        report.coverage = Coverage::of(there, &self.known);
        Ok(())
    }

    /// Finds what reading packs found, and the frames that this costs.
    pub(super) fn blame_packs(&mut self) -> Result<(), Error> {
        for damage in self.read.values().cloned().collect::<Vec<_>>() {
            self.damage(damage);
        }
        Ok(self.losses.look_into_packs()?)
    }
}
