// Buttons that are one stop of Tab together, as a strip of photographs is.

const WAYS = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity};

/** Moves between the buttons of a box by the arrow keys; `onMove` is told which. */
export function rove(box, selector, onMove = () => {}) {
  box.addEventListener("keydown", (event) => {
    const all = [...box.querySelectorAll(selector)], at = all.indexOf(event.target);
    if (at < 0 || !(event.key in WAYS)) return;
    event.preventDefault();
    const next = all[Math.min(all.length - 1, Math.max(0, at + WAYS[event.key]))];
    stop(box, selector, next);
    next.focus({preventScroll: true});
    reveal(box, next);
    onMove(next);
  });
}

/** Makes one button of a box the stop of Tab; without one the first. */
export function stop(box, selector, button) {
  const all = [...box.querySelectorAll(selector)];
  const one = all.includes(button) ? button : all[0];
  for (const other of all) other.tabIndex = other === one ? 0 : -1;
}

/** Scrolls a box, and nothing else, until it shows one of its items. */
export function reveal(box, item) {
  const [room, it] = [box, item].map((element) => element.getBoundingClientRect());
  const way = (from, to, start, end) => (start < from ? start - from - 8 : Math.max(0, end - to + 8));
  box.scrollBy(way(room.left, room.right, it.left, it.right), way(room.top, room.bottom, it.top, it.bottom));
}
