// A picture with a frame that is dragged, resized, drawn anew or moved by keys: which part of it is searched.

import { h } from "./dom.js";

const LEAST = 0.04;
const STEP = 0.02;
const CORNERS = { nw: ["x_min", "y_min"], ne: ["x_max", "y_min"], sw: ["x_min", "y_max"], se: ["x_max", "y_max"] };
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * The picture, as {element, show(box, objects)}. A box is {x_min, y_min, x_max, y_max} as parts of width and height, 0 to 1.
 * objects: what was found, [{label, score, ...box}].   changed(box): called when a person has framed another part.
 */
export function framedPicture({ source, alt, changed }) {
  let now = { x_min: 0, y_min: 0, x_max: 1, y_max: 1 };
  const image = h("img", { src: source, alt, draggable: "false" });
  const frame = h("div", { class: "frame", tabindex: 0, role: "group", "aria-roledescription": "frame", "aria-describedby": "frame-keys" });
  frame.append(...Object.keys(CORNERS).map((corner) => h("i", { class: corner, "data-corner": corner })));
  const others = h("div", { class: "others" });
  const stage = h("div", { class: "stage" }, image, frame, others);

  function set(next) {
    now = boxOf(next);
    Object.assign(frame.style, placed(now));
    const [left, top, right, bottom] = ["x_min", "y_min", "x_max", "y_max"].map((name) => Math.round(100 * now[name]));
    frame.setAttribute("aria-label", `Searched part: ${left} to ${right} percent across, ${top} to ${bottom} percent down`);
  }
  function settle(before) {
    if (JSON.stringify(before) !== JSON.stringify(now)) changed({ ...now });
  }
  function show(box, objects) {
    set(box);
    const all = objects.length > 1 ? objects : [];
    others.replaceChildren(...all.map((object) => h("button", { class: "other-box", title: `Search the ${object.label}`, "aria-label": `Search the ${object.label}`, style: placed(object), onclick: () => { const before = now; set(object); settle(before); } })));
  }

  stage.addEventListener("pointerdown", (event) => drag(event, stage, () => now, set, settle));
  frame.addEventListener("keydown", (event) => keys(event, () => now, set));
  frame.addEventListener("keyup", (event) => event.key.startsWith("Arrow") && settleSoon(() => changed({ ...now })));
  image.addEventListener("error", () => image.replaceWith(h("p", { class: "none" }, "This browser cannot show this format. The search works nevertheless.")));
  set(now);
  return { element: h("div", { class: "query" }, stage), show };
}

const boxOf = ({ x_min, y_min, x_max, y_max }) => ({ x_min, y_min, x_max, y_max });
const placed = (box) => ({ left: `${100 * box.x_min}%`, top: `${100 * box.y_min}%`, width: `${100 * (box.x_max - box.x_min)}%`, height: `${100 * (box.y_max - box.y_min)}%` });

let waiting = 0;
function settleSoon(then) {
  clearTimeout(waiting);
  waiting = setTimeout(then, 350);
}

function drag(event, stage, current, set, settle) {
  if (event.button !== 0 || event.target.closest(".other-box")) return;
  const area = stage.getBoundingClientRect();
  const at = (moved) => ({ x: clamp((moved.clientX - area.left) / area.width, 0, 1), y: clamp((moved.clientY - area.top) / area.height, 0, 1) });
  const before = current();
  const start = at(event);
  const change = changeOf(event.target, before, start);
  const move = (moved) => set(change(at(moved)));
  const end = () => {
    stage.removeEventListener("pointermove", move);
    stage.removeEventListener("pointerup", end);
    stage.removeEventListener("pointercancel", end);
    settle(before);
  };
  event.preventDefault();
  stage.querySelector(".frame").focus({ preventScroll: true });
  stage.setPointerCapture(event.pointerId);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
}

/** What a drag does: a corner resizes, the frame moves, anywhere else a new frame is drawn. */
function changeOf(target, before, start) {
  const corner = CORNERS[target.dataset.corner];
  if (corner) {
    const fixed = { x: corner[0] === "x_min" ? before.x_max : before.x_min, y: corner[1] === "y_min" ? before.y_max : before.y_min };
    return (to) => between(fixed, to);
  }
  if (target.classList.contains("frame")) return (to) => moved(before, to.x - start.x, to.y - start.y);
  return (to) => (Math.abs(to.x - start.x) < LEAST && Math.abs(to.y - start.y) < LEAST ? before : between(start, to));
}

function between(one, other) {
  const side = (a, b) => {
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    return high - low >= LEAST ? [low, high] : low + LEAST <= 1 ? [low, low + LEAST] : [1 - LEAST, 1];
  };
  const [x_min, x_max] = side(one.x, other.x);
  const [y_min, y_max] = side(one.y, other.y);
  return { x_min, y_min, x_max, y_max };
}

function moved(box, x, y) {
  const dx = clamp(x, -box.x_min, 1 - box.x_max);
  const dy = clamp(y, -box.y_min, 1 - box.y_max);
  return { x_min: box.x_min + dx, y_min: box.y_min + dy, x_max: box.x_max + dx, y_max: box.y_max + dy };
}

/** Arrows move the frame; with Shift they move its right and lower edge. */
function keys(event, current, set) {
  const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
  if (!step) return;
  event.preventDefault();
  const box = current();
  if (!event.shiftKey) set(moved(box, ...step));
  else set({ ...box, x_max: clamp(box.x_max + step[0], box.x_min + LEAST, 1), y_max: clamp(box.y_max + step[1], box.y_min + LEAST, 1) });
}
