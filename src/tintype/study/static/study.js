// One session of a study. The server gives out the next pair only when the answer to the last is
// saved; this script shows the pair for the set time, and measures exposure and reaction time. Of
// single pictures a pair has the left one alone; the left button says real, the right one machine.
"use strict";

(() => {
  const CROSS_MS = 600;
  const HALF_A_FRAME_MS = 8;
  const LONGEST_WAIT_MS = 8000;

  const element = (id) => document.getElementById(id);
  const root = element("study");
  const pair = element("pair");
  const buttons = { left: element("left"), right: element("right") };
  const single = root.dataset.kind === "single";
  const pictures = single
    ? { left: element("left-picture") }
    : { left: element("left-picture"), right: element("right-picture") };
  const unit = single ? "picture" : "pair";
  const Unit = single ? "Picture" : "Pair";
  const KEYS = {
    ArrowLeft: "left", ArrowUp: "left", KeyF: "left",
    ArrowRight: "right", ArrowDown: "right", KeyJ: "right",
  };

  let state = JSON.parse(root.dataset.state);
  let trial = null; // the measurements of the pair in view; null while no answer is accepted

  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const say = (text) => { element("status").textContent = text; };
  const inColumn = () =>
    buttons.right.getBoundingClientRect().top > buttons.left.getBoundingClientRect().bottom - 1;

  function truthOf(side) {
    if (single) return side === "left" ? "It is real." : "A machine coloured it.";
    const names = inColumn() ? { left: "upper", right: "lower" } : { left: "left", right: "right" };
    return `The ${names[side]} picture has the true colours.`;
  }

  function showCount() {
    const what = state.practice ? `Practice ${unit}` : Unit;
    element("count").textContent = `${what} ${state.number} of ${state.of}`;
    element("progress").max = state.of;
    element("progress").value = state.number - 1;
  }

  // A break before practice, before the pairs that count, and after a reload.
  function makeReady(resumed) {
    const last = state.exposure_ms ? ` Each ${unit} is shown for ${state.exposure_ms / 1000} s.` : "";
    const texts = state.practice
      ? ["Practice", `${state.of} ${unit}s to get used to it. After each you are told ${single ? "whether it is real" : "which picture had the true colours"}.`]
      : ["Now it counts", `${state.of} ${unit}s follow. You are not told whether you were right.`];
    if (resumed) {
      texts[0] = "Welcome back";
      texts[1] = `You go on with ${state.practice ? "practice " : ""}${unit} ${state.number} of ${state.of}.`;
    }
    element("ready-title").textContent = texts[0];
    element("ready-text").textContent = texts[1] + last;
    element("start").textContent = resumed ? "Continue" : "Start";
    element("stage").hidden = true;
    element("ready").hidden = false;
    element("start").focus();
  }

  // Whether the session went on in another tab: the server then refuses this page's pictures.
  async function outdated() {
    try {
      return [403, 404].includes((await fetch(state.left)).status);
    } catch {
      return false; // no connection: it may still be there
    }
  }

  async function load() {
    for (let wait = 500; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      try {
        for (const side in pictures) pictures[side].src = state[side];
        await Promise.all(Object.values(pictures).map((picture) => picture.decode()));
        return;
      } catch {
        if (await outdated()) {
          location.reload();
          return new Promise(() => {});
        }
        say("The pictures cannot be loaded. Trying again…");
        await pause(wait);
      }
    }
  }

  async function show() {
    showCount();
    element("ready").hidden = true;
    element("stage").hidden = false;
    element("next").hidden = true;
    pair.classList.remove("shown");
    for (const side of ["left", "right"]) {
      buttons[side].classList.remove("chosen", "true");
      buttons[side].disabled = true;
    }
    say("");
    element("question").focus({ preventScroll: true });
    await load();
    say("");
    pair.classList.add("ready");
    await pause(CROSS_MS);
    while (document.hidden) await pause(100);
    await frame();
    pair.classList.remove("ready");
    pair.classList.add("shown");
    // The frame with the pictures is on the screen when the next frame begins.
    const shown = await frame();
    const own = { shown, hidden: null, interrupted: false };
    trial = own;
    for (const side of ["left", "right"]) buttons[side].disabled = false;
    if (!state.exposure_ms) return;
    let now = shown;
    while (trial === own && own.hidden === null && now - shown < state.exposure_ms - HALF_A_FRAME_MS) {
      now = await frame();
    }
    if (trial === own) hide(own, now);
  }

  function hide(own, now) {
    if (own.hidden !== null) return;
    pair.classList.remove("shown");
    own.hidden = now;
    say(single ? "What was it?" : "Which one was it?");
  }

  async function choose(side, now) {
    const own = trial;
    if (own === null) return;
    trial = null;
    const { practice, position } = state;
    const answer = {
      form_key: state.form_key,
      position,
      choice: side,
      reaction_ms: Math.max(0, Math.round(now - own.shown)),
      exposed_ms: Math.max(0, Math.round((own.hidden ?? now) - own.shown)),
      interrupted: own.interrupted,
      layout: inColumn() ? "column" : "row",
    };
    if (!practice) pair.classList.remove("shown");
    buttons[side].classList.add("chosen");
    for (const each of ["left", "right"]) buttons[each].disabled = true;
    say("");
    const reply = await send(answer);
    const before = state;
    state = reply.next;
    if (reply.feedback) {
      tell(reply.feedback);
    } else {
      advance(before);
    }
  }

  // An answer that arrives twice counts once, so it is sent until the server says it is saved.
  async function send(answer) {
    for (let wait = 500; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      try {
        const response = await fetch("answer", {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(answer),
        });
        if (response.ok) return await response.json();
        if (response.status < 500 && response.status !== 429) {
          location.reload();
          return new Promise(() => {});
        }
      } catch {
        // no connection: try again
      }
      say("Your answer is not saved yet: the study cannot be reached. Trying again…");
      await pause(wait);
    }
  }

  function tell(feedback) {
    pair.classList.add("shown");
    buttons[feedback.true_side].classList.add("true");
    const verdict = feedback.correct ? "Right." : "Not right.";
    say(`${verdict} ${truthOf(feedback.true_side)}`);
    element("next").hidden = false;
    element("next").focus();
  }

  function advance(before) {
    if (state.done) {
      location.replace("thanks");
    } else if (before.practice && !state.practice) {
      showCount();
      makeReady(false);
    } else {
      show();
    }
  }

  for (const side of ["left", "right"]) {
    buttons[side].addEventListener("click", (event) => choose(side, event.timeStamp));
  }
  element("start").addEventListener("click", show);
  element("next").addEventListener("click", () => advance({ practice: true }));
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    const side = KEYS[event.code];
    if (side && trial !== null) {
      event.preventDefault();
      choose(side, event.timeStamp);
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden || trial === null || !pair.classList.contains("shown")) return;
    trial.interrupted = true;
    if (state.exposure_ms) hide(trial, performance.now());
  });

  showCount();
  makeReady(state.number > 1);
})();
