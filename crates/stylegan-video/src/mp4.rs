//! H.264 in MP4: OpenH264 encodes, and the index is put before the frames, so that a browser can begin to play
//! while it still loads.

use std::num::NonZeroU32;

use image::RgbImage;
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange,
    RateControlMode, VuiConfig,
};
use shiguredo_mp4::boxes::{Avc1Box, AvccBox, SampleEntry, VisualSampleEntryFields};
use shiguredo_mp4::mux::{
    Mp4FileMuxer, Mp4FileMuxerOptions, Sample, estimate_maximum_moov_box_size,
};
use shiguredo_mp4::{TrackKind, Uint};

use crate::yuv::{Yuv, even_size};

/// The largest frame of OpenH264, the longer and the shorter side.
const LARGEST: (u32, u32) = (3840, 2160);

/// The smallest side of a frame of OpenH264.
const SMALLEST: u32 = 16;

/// A player can jump to every second second.
const SECONDS_BETWEEN_KEYFRAMES: u32 = 2;

/// Ticks of a frame, as other tools have them.
const FRAME_TICKS: u32 = 512;

/// What the encoder takes the level from that players must support, beside the size of the frames: level 3. The
/// quantizer is fixed, so it decides nothing else.
const BITS_PER_SECOND: u32 = 10_000_000;

/// Kinds of units in a stream (ITU-T H.264, table 7-1).
const SPS: u8 = 7;
const PPS: u8 = 8;

pub(crate) struct Mp4 {
    fps: u32,
    encoder: Encoder,
    size: Option<(u32, u32)>,
    /// Sequence and picture parameters, once each.
    sps: Option<Vec<u8>>,
    pps: Option<Vec<u8>>,
    frames: Vec<EncodedFrame>,
}

/// The units of a frame, each after its length.
struct EncodedFrame {
    bytes: Vec<u8>,
    is_key: bool,
}

impl Mp4 {
    /// An encoder of one quality for all frames.
    pub(crate) fn new(fps: u32, quality: u8) -> Result<Self, String> {
        let qp = quantizer(quality);
        let config = EncoderConfig::new()
            .max_frame_rate(FrameRate::from_hz(fps as f32))
            .rate_control_mode(RateControlMode::Bufferbased)
            .bitrate(BitRate::from_bps(BITS_PER_SECOND))
            .qp(QpRange::new(qp, qp))
            .skip_frames(false)
            .scene_change_detect(false)
            .adaptive_quantization(false)
            .background_detection(false)
            .complexity(Complexity::High)
            .intra_frame_period(IntraFramePeriod::from_num_frames(
                SECONDS_BETWEEN_KEYFRAMES * fps,
            ))
            .num_threads(1)
            .vui(VuiConfig::bt709());
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config);
        Ok(Self {
            fps,
            encoder: encoder.map_err(|error| error.to_string())?,
            size: None,
            sps: None,
            pps: None,
            frames: Vec::new(),
        })
    }

    pub(crate) fn add(&mut self, frame: &RgbImage) -> Result<(), String> {
        let (width, height) = frame.dimensions();
        let (longer, shorter) = (width.max(height), width.min(height));
        if longer > LARGEST.0 || shorter > LARGEST.1 || shorter < SMALLEST {
            return Err(format!(
                "an MP4 has room for {SMALLEST}x{SMALLEST} to {}x{} pixels, found {width}x{height}",
                LARGEST.0, LARGEST.1
            ));
        }
        let encoded = self.encoder.encode(&Yuv::from_rgb(frame));
        let encoded = encoded.map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        let layers = (0..encoded.num_layers()).filter_map(|layer| encoded.layer(layer));
        for layer in layers {
            for unit in (0..layer.nal_count()).filter_map(|unit| layer.nal_unit(unit)) {
                let unit = without_start_code(unit);
                match unit.first().map(|first| first & 31) {
                    Some(SPS) => self.sps = Some(unit.to_vec()),
                    Some(PPS) => self.pps = Some(unit.to_vec()),
                    Some(_) => {
                        let length = u32::try_from(unit.len()).map_err(|e| e.to_string())?;
                        bytes.extend(length.to_be_bytes());
                        bytes.extend(unit);
                    }
                    None => (),
                }
            }
        }
        let is_key = encoded.frame_type() == FrameType::IDR;
        self.size = Some(even_size(frame));
        self.frames.push(EncodedFrame { bytes, is_key });
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, String> {
        let options = Mp4FileMuxerOptions {
            reserved_moov_box_size: estimate_maximum_moov_box_size(&[self.frames.len()]),
            ..Default::default()
        };
        let mut muxer = Mp4FileMuxer::with_options(options).map_err(|e| e.to_string())?;
        let mut file = muxer.initial_boxes_bytes().to_vec();
        let mut entry = Some(self.sample_entry()?);
        let timescale = self.fps.checked_mul(FRAME_TICKS).and_then(NonZeroU32::new);
        for EncodedFrame { bytes, is_key } in &self.frames {
            let sample = Sample {
                track_kind: TrackKind::Video,
                sample_entry: entry.take(),
                keyframe: *is_key,
                timescale: timescale.ok_or("too many frames per second")?,
                duration: FRAME_TICKS,
                composition_time_offset: None,
                data_offset: file.len() as u64,
                data_size: bytes.len(),
            };
            file.extend(bytes);
            muxer.append_sample(&sample).map_err(|e| e.to_string())?;
        }
        let boxes = muxer.finalize().map_err(|e| e.to_string())?;
        for (offset, bytes) in boxes.offset_and_bytes_pairs() {
            let start = usize::try_from(offset).map_err(|e| e.to_string())?;
            let end = start + bytes.len();
            file.resize(file.len().max(end), 0);
            file[start..end].copy_from_slice(bytes);
        }
        Ok(file)
    }

    /// What a decoder has to know before the first frame.
    fn sample_entry(&self) -> Result<SampleEntry, String> {
        let missing = || "the encoder gave no parameters".to_string();
        let sps = self.sps.clone().ok_or_else(missing)?;
        let pps = self.pps.clone().ok_or_else(missing)?;
        let &[_, profile, compatibility, level, ..] = &sps[..] else {
            return Err(missing());
        };
        let (width, height) = self.size.ok_or_else(missing)?;
        let side = |side: u32| u16::try_from(side).map_err(|error| error.to_string());
        Ok(SampleEntry::Avc1(Avc1Box {
            visual: VisualSampleEntryFields {
                data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
                width: side(width)?,
                height: side(height)?,
                horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
                vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
                frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
                compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
                depth: VisualSampleEntryFields::DEFAULT_DEPTH,
            },
            avcc_box: AvccBox {
                avc_profile_indication: profile,
                profile_compatibility: compatibility,
                avc_level_indication: level,
                length_size_minus_one: Uint::new(3),
                sps_list: vec![sps],
                pps_list: vec![pps],
                chroma_format: None,
                bit_depth_luma_minus8: None,
                bit_depth_chroma_minus8: None,
                sps_ext_list: Vec::new(),
            },
            unknown_boxes: Vec::new(),
        }))
    }
}

/// From 42 at the lowest quality to 12 at the highest, the least that OpenH264 has; six steps double the size
/// of a quantum.
fn quantizer(quality: u8) -> u8 {
    let qp = 42. - 30. * f32::from(quality.saturating_sub(1)) / 99.;
    qp.round() as u8
}

/// Units in a stream begin with 0 0 1 or 0 0 0 1.
fn without_start_code(unit: &[u8]) -> &[u8] {
    let zeros = unit.iter().take_while(|&&byte| byte == 0).count();
    unit.get(zeros + 1..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_falls_from_the_finest_to_the_coarsest_quantizer() {
        assert_eq!([100, 80, 1].map(quantizer), [12, 18, 42]);
    }
}
