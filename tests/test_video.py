"""Videos become videos of the same rate, size, times and sound; broken frames are left out."""

from __future__ import annotations

import json
import signal
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from segzoo.cli import run
from segzoo.errors import FailureError, ImageError, MissingExtraError, OptionError
from segzoo.prediction.segmentation import Segmentation
from segzoo.prediction.sources import find
from segzoo.prediction.video import reader as reading
from segzoo.prediction.video.reader import camera_input, is_video
from segzoo.prediction.video.segment import segment_video, video_path
from segzoo.prediction.video.writer import video_suffix
from segzoo.specs import Labels

LABELS = Labels(classes=("background", "bright"), palette=((0, 0, 0), (255, 0, 0)))
RATE, FRAMES, SIZE = 25, 12, (32, 48)


def bright(image):
    """Segment a frame: what is bright is class 1."""
    return Segmentation(mask=(image[..., 0] > 128).astype(np.uint8), labels=LABELS, image=image)


def film(path, *, size=SIZE, codec="mpeg4", sound="aac", rate=RATE, frames=FRAMES, gop=4):
    """Write a clip whose left ``2 * i`` columns are white in frame ``i``."""
    with av.open(str(path), "w") as out:
        pictures = out.add_stream(codec, rate=rate)
        pictures.height, pictures.width = size
        pictures.pix_fmt, pictures.gop_size, pictures.codec_context.max_b_frames = "yuv420p", gop, 0
        voice = out.add_stream(sound, rate=16000, layout="mono") if sound else None
        for number in range(frames):
            image = np.zeros((*size, 3), np.uint8)
            image[:, : 2 * number] = 255
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = number, Fraction(1, rate)
            out.mux(pictures.encode(frame))
        out.mux(pictures.encode(None))
        if voice is not None:
            wave = np.sin(np.arange(16000 * frames // rate) / 20) * 8000
            heard = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
            heard.sample_rate, heard.pts = 16000, 0
            out.mux(voice.encode(heard))
            out.mux(voice.encode(None))
    return path


def frames_of(path, kind="rgb24"):
    """Return the frames of a video and their times."""
    with av.open(str(path)) as file:
        both = [(frame.to_ndarray(format=kind), frame.time) for frame in file.decode(video=0)]
    return [image for image, _ in both], [time for _, time in both]


def sound_of(path):
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(file.streams.audio) if packet.size]


def damaged(path, numbers):
    """Overwrite the packets of some frames with noise."""
    with av.open(str(path)) as file:
        places = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for number in numbers:
        place, size = places[number]
        content[place : place + size] = np.random.default_rng(number).bytes(size)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_an_overlay_has_the_rate_size_times_and_sound_of_its_source(tmp_path, suffix):
    source = film(tmp_path / f"clip{suffix}", sound="mp2" if suffix == ".avi" else "aac")
    done = segment_video(bright, source, tmp_path / f"out{suffix}")
    before, after = frames_of(source), frames_of(done.path)
    assert (done.frames, done.size, done.sound, done.broken) == (FRAMES, SIZE, True, ())
    assert after[1] == pytest.approx(before[1], abs=1e-3)
    assert [image.shape for image in after[0]] == [(*SIZE, 3)] * FRAMES
    assert sound_of(done.path) == sound_of(source)
    with av.open(str(done.path)) as file:
        assert file.streams.video[0].average_rate == RATE
    left = after[0][-1][16, 8].astype(int)
    assert left[0] > 240
    assert (left[1:] < 200).all()  # tinted red
    assert after[0][-1][16, 40].max() < 16  # untouched
    assert list(tmp_path.glob(".*")) == []


def test_the_areas_are_those_of_all_frames_together(tmp_path):
    done = segment_video(bright, film(tmp_path / "clip.mp4"), tmp_path / "out.mp4")
    assert done.areas["bright"] == pytest.approx(np.mean([2 * n / 48 for n in range(FRAMES)]), abs=0.02)
    assert sum(done.areas.values()) == pytest.approx(1)


def test_a_video_of_masks_holds_every_class_index_unchanged(tmp_path):
    masks = []

    def many(image):
        mask = np.random.default_rng(len(masks)).integers(0, 256, image.shape[:2], np.uint8)
        masks.append(mask)
        return Segmentation(mask=mask, labels=LABELS, image=image)

    done = segment_video(many, film(tmp_path / "clip.mp4"), tmp_path / "out.mkv", output="mask")
    found, _ = frames_of(done.path, "gray")
    assert all(np.array_equal(one, other) for one, other in zip(found, masks, strict=True))


def test_every_third_frame_of_a_range_keeps_its_time(tmp_path):
    source = film(tmp_path / "clip.mp4", frames=50)
    heard = []
    done = segment_video(
        bright,
        source,
        tmp_path / "out.mp4",
        every=3,
        first=0.4,
        last=1.6,
        progress=lambda count, of: heard.append((count, of)),
    )
    _, times = frames_of(done.path)
    assert times == pytest.approx([number * 3 / RATE for number in range(10)])
    assert heard[-1] == (10, 10)
    length = sum(map(len, sound_of(done.path))) / sum(map(len, sound_of(source)))
    assert length == pytest.approx(1.2 / 2, abs=0.1)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_broken_frames_are_told_of_and_the_rest_goes_on(tmp_path, codec):
    source = damaged(film(tmp_path / "clip.mp4", codec=codec), [5, 6])
    told = []
    done = segment_video(bright, source, tmp_path / "out.mp4", on_message=told.append)
    assert done.broken == pytest.approx([5 / RATE, 6 / RATE])
    assert told == [f"{source}: the frame at {time} s is broken, left out" for time in ("0.20", "0.24")]
    _, times = frames_of(done.path)
    assert done.frames == len(times) == FRAMES - 2
    assert times == pytest.approx([n / RATE for n in range(FRAMES) if n not in (5, 6)])
    assert sound_of(done.path) == sound_of(source)


def test_a_video_that_was_cut_off_gives_what_it_has(tmp_path):
    source = film(tmp_path / "clip.mkv")
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    done = segment_video(bright, source, tmp_path / "out.mkv", on_message=lambda text: None)
    assert 0 < done.frames < FRAMES


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_what_is_no_video_is_an_error_that_names_it(tmp_path, content):
    source = tmp_path / "clip.mp4"
    source.write_bytes(content)
    with pytest.raises(ImageError, match=r"clip\.mp4 cannot be read as a video"):
        segment_video(bright, source, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_video_without_one_good_frame_leaves_nothing(tmp_path):
    source = damaged(film(tmp_path / "clip.mp4"), range(FRAMES))
    with pytest.raises(ImageError, match=f"no frame of .* can be read: {FRAMES} are broken"):
        segment_video(bright, source, tmp_path / "out.mp4", on_message=lambda text: None)
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_sound_without_pictures_is_no_video(tmp_path):
    source = tmp_path / "song.mp4"
    with av.open(str(source), "w") as out:
        voice = out.add_stream("aac", rate=16000, layout="mono")
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), format="s16", layout="mono")
        heard.sample_rate, heard.pts = 16000, 0
        out.mux(voice.encode(heard))
        out.mux(voice.encode(None))
    with pytest.raises(ImageError, match="contains no pictures"):
        segment_video(bright, source, tmp_path / "out.mp4")


def test_sound_that_the_file_cannot_hold_is_told_of_and_left_out(tmp_path):
    told = []
    source = film(tmp_path / "clip.mp4", frames=3)
    done = segment_video(bright, source, tmp_path / "out.webm", on_message=told.append)
    assert not done.sound
    assert "the sound (aac) is left out, because .webm cannot hold it" in told[0]
    assert len(frames_of(done.path)[0]) == 3


def test_odd_sides_are_kept(tmp_path):
    source = film(tmp_path / "clip.mkv", size=(31, 47), sound=None, frames=3)
    for suffix in (".mp4", ".webm"):
        done = segment_video(bright, source, tmp_path / f"out{suffix}")
        assert done.size == (31, 47)
        assert frames_of(done.path)[0][0].shape == (31, 47, 3)


def test_a_clip_of_a_phone_held_upright_is_segmented_upright(tmp_path):
    source = film(tmp_path / "clip.mp4", sound=None)
    content = bytearray(source.read_bytes())
    at = content.index(b"tkhd") + 4 + 4 + 36  # the matrix follows version, times, number, layer, volume
    turned = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    content[at : at + 36] = np.array(turned, ">i4").tobytes()
    source.write_bytes(content)
    seen = []
    done = segment_video(lambda image: seen.append(image) or bright(image), source, tmp_path / "out.mp4")
    # Its top is where the stored picture's left is: a quarter turn with the clock.
    assert done.size == (48, 32)
    assert seen[-1][4].min() > 200
    assert seen[-1][-4].max() < 50


def test_ctrl_c_leaves_nothing_of_a_file(tmp_path):
    source = film(tmp_path / "clip.mp4")
    calls = []

    def interrupted(image):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return bright(image)

    with pytest.raises(KeyboardInterrupt):
        segment_video(interrupted, source, tmp_path / "out.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_ctrl_c_ends_what_a_camera_shows_with_a_whole_video(tmp_path, monkeypatch):
    # FFmpeg's test picture stands in for a camera: it never ends, either.
    monkeypatch.setattr(reading, "camera_input", lambda *_: ("testsrc=size=48x32:rate=30", "r", "lavfi"))
    calls = []

    def interrupted(image):
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return bright(image)

    done = segment_video(interrupted, "camera:0", tmp_path / "out.mp4")
    assert done.interrupted
    assert len(frames_of(done.path)[0]) == done.frames > 0


def test_a_camera_is_watched_for_as_long_as_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "camera_input", lambda *_: ("testsrc=size=48x32:rate=30", "r", "lavfi"))
    assert segment_video(bright, "camera:0", tmp_path / "out.mp4", last=0.5).frames == 15


def test_an_error_of_the_network_stops_the_video_and_leaves_nothing(tmp_path):
    def wrong(image):
        raise OptionError("the network takes 1 channels, the image has 3")

    source = film(tmp_path / "clip.mp4")
    with pytest.raises(OptionError, match="takes 1 channels"):
        segment_video(wrong, source, tmp_path / "out.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_full_disk_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource", reason="Windows limits no files")
    source = film(tmp_path / "clip.mp4")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(FailureError, match=r"cannot write .*out\.mp4: File too large"):
            segment_video(bright, source, tmp_path / "out.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_video_is_overwritten_only_on_request_and_never_the_source(tmp_path):
    source = film(tmp_path / "clip.mp4", frames=3)
    (tmp_path / "out.mp4").write_bytes(b"mine")
    with pytest.raises(FailureError, match=r"out\.mp4 exists"):
        segment_video(bright, source, tmp_path / "out.mp4")
    assert segment_video(bright, source, tmp_path / "out.mp4", overwrite=True).frames == 3
    with pytest.raises(FailureError, match="is read, so it cannot be written too"):
        segment_video(bright, source, source, overwrite=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": 0}, "every must be 1 or more"),
        ({"first": 2, "last": 1}, "the range must begin"),
        ({"first": -1}, "the range must begin"),
        ({"output": "mask"}, "masks are written without loss"),
        ({"output": "sheet"}, "overlay"),
    ],
)
def test_options_out_of_range_are_told_before_anything_is_written(tmp_path, options, said):
    with pytest.raises(OptionError, match=said):
        segment_video(bright, film(tmp_path / "clip.mp4", frames=2), tmp_path / "out.mp4", **options)


def test_what_cannot_be_written_as_a_video_is_told(tmp_path):
    with pytest.raises(OptionError, match=r"videos are written as \.avi"):
        segment_video(bright, film(tmp_path / "clip.mp4", frames=2), tmp_path / "out.png")


def test_a_word_is_a_video_by_its_suffix_or_as_a_camera():
    assert all(map(is_video, ["a.MP4", "b/c.mkv", "camera:0", "camera:/dev/video1"]))
    assert not any(map(is_video, ["a.png", "mp4", "b/", "camera", "scan.tif"]))


@pytest.mark.parametrize(
    ("source", "overlay", "mask"),
    [
        ("a.mov", ".mov", ".mkv"),
        ("a.WMV", ".mp4", ".mkv"),
        ("a.avi", ".avi", ".avi"),
        ("camera:0", ".mp4", ".mkv"),
    ],
)
def test_a_video_is_written_as_what_it_was_where_that_can_be(source, overlay, mask):
    assert (video_suffix(source, "overlay"), video_suffix(source, "mask")) == (overlay, mask)


def test_each_system_calls_its_cameras_in_its_own_way():
    assert camera_input("0", "linux") == ("/dev/video0", "r", "v4l2")
    assert camera_input("/dev/video7", "linux") == ("/dev/video7", "r", "v4l2")
    assert camera_input("1", "darwin") == ("1", "r", "avfoundation")
    assert camera_input("USB Camera", "win32") == ("video=USB Camera", "r", "dshow")
    with pytest.raises(OptionError, match="on Windows, cameras are named"):
        camera_input("0", "win32")
    with pytest.raises(OptionError, match="cameras are not supported on wasi"):
        camera_input("0", "wasi")


def test_a_camera_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ImageError, match="camera:987 cannot be opened"):
        segment_video(bright, "camera:987", tmp_path / "out.mp4")


def test_without_pyav_the_line_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'segmentation-zoo\[video\]'"):
        segment_video(bright, tmp_path / "clip.mp4", tmp_path / "out.mp4")


def words_for(source, out):
    return ["predict", str(source), "--model", "unet-nuclei", "--device", "cpu", "--out", str(out)]


@pytest.mark.medium
def test_the_command_writes_an_overlay_of_a_clip(tmp_path, capsys):
    source, out = film(tmp_path / "clip.mp4", frames=6), tmp_path / "out"
    assert run([*words_for(source, out), "--every", "2", "--until", "0.2"]) == 0
    assert f"{source}: 3 frames" in capsys.readouterr().out
    assert len(frames_of(out / "clip_overlay.mp4")[0]) == 3


@pytest.mark.parametrize("words", [["--outputs", "coco"], ["--no-save"]])
def test_the_command_refuses_what_a_video_cannot_be(tmp_path, capsys, words):
    assert run([*words_for(film(tmp_path / "clip.mp4", frames=1), tmp_path), *words]) == 2
    assert "video" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.slow
def test_the_command_writes_masks_and_never_replaces_a_video_unasked(tmp_path, capsys):
    source = film(tmp_path / "clip.mp4", frames=1)
    words = [*words_for(source, tmp_path), "--outputs", "mask"]
    assert run(words) == 0
    assert set(np.unique(frames_of(tmp_path / "clip_mask.mkv", "gray")[0][0])) <= {0, 1}
    capsys.readouterr()
    assert run([*words, "--resume"]) == 0
    assert "1 were done before" in capsys.readouterr().out
    assert run(words) == 1
    assert "clip_mask.mkv exists" in capsys.readouterr().err
    assert run([*words, "--overwrite"]) == 0


def test_what_is_written_for_a_camera_has_a_name_that_every_system_takes():
    (camera,) = find(["camera:/dev/video1"]).videos
    assert video_path(Path("out"), camera, "mask") == Path("out/camera_dev_video1_mask.mkv")


@pytest.mark.slow
def test_a_folder_of_images_and_videos_is_one_run_with_one_record(tmp_path, capsys):
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "day").mkdir(parents=True)
    Image.new("L", (32, 24)).save(photos / "still.png")
    film(photos / "day/clip.mp4", frames=2)
    (photos / "torn.mp4").write_bytes(b"no video")
    assert run(words_for(photos, out)) == 1
    assert "torn.mp4" in capsys.readouterr().err
    names = {file.relative_to(out).as_posix() for file in out.rglob("*.*")}
    assert names == {"manifest.jsonl", "still_mask.png", "still_overlay.png", "day/clip_overlay.mp4"}
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    told = {Path(line["input"]).name: line for line in lines}
    assert set(told) == {"still.png", "clip.mp4", "torn.mp4"}
    assert (told["clip.mp4"]["height"], told["clip.mp4"]["width"]) == SIZE
    assert "error" in told["torn.mp4"]
    (photos / "torn.mp4").unlink()
    assert run([*words_for(photos, out), "--resume"]) == 0
    assert "2 were done before" in capsys.readouterr().out
    assert run([*words_for(photos, out), "--resume", "--every", "2"]) == 0
    assert "clip.mp4: 1 frames" in capsys.readouterr().out


def test_lists_and_patterns_name_videos_too(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/one.mp4", "two.avi", "two.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a/one.mp4\ncamera:0\n")
    found = find([f"{tmp_path}/**/*.avi"], lists=[str(tmp_path / "list.txt")])
    assert [video.name for video in found.videos] == ["two", "one", "camera_0"]
    both = find([tmp_path])
    assert [video.name for video in both.videos] == ["a/one", "two.avi"]
    assert [image.name for image in both.images] == ["two.png"]
