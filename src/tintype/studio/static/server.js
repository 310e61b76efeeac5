// What the page asks of the server.

export const ENDED = "The studio has ended; start it again.";

/** Whether the studio runs. */
export const lives = () => fetch("healthz", {cache: "no-store"}).then((answer) => answer.ok, () => false);

/** Fetches; errors are sentences. */
async function ask(path, init) {
  let answer = null;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(await lives() ? "the file cannot be read any more: choose it again" : ENDED);
  }
  if (answer.ok) return answer;
  const {detail} = await answer.json().catch(() => ({}));
  throw new Error(detail ?? `the studio answered with error ${answer.status}: try again`);
}

const post = (path, record = {}, signal = undefined) => ask(path, {
  method: "POST", body: JSON.stringify(record), headers: {"Content-Type": "application/json"}, signal,
});
const told = async (...words) => (await post(...words)).json();

export const everything = async () => (await ask("session")).json();

export const upload = async (file, number, signal) => (await ask(
  `session/photos?name=${encodeURIComponent(file.name || "pasted.png")}&number=${number}`,
  {method: "POST", body: file, signal},
)).json();

export const place = (id) => `session/photos/${id}`;

export const remove = (id) => ask(place(id), {method: "DELETE"});
export const putBack = (id) => told(`${place(id)}/put-back`);
export const cancel = (id) => post(`${place(id)}/cancel`);
export const again = (id) => post(`${place(id)}/again`);
export const choose = (id, settings) => told(`${place(id)}/settings`, settings);
export const undo = (id) => told(`${place(id)}/undo`);
export const redo = (id) => told(`${place(id)}/redo`);
export const copy = (id) => told(`${place(id)}/copy`);
export const undoCopy = () => told("session/undo-copy");
export const suggest = (id, asked) => told(`${place(id)}/suggest`, asked);
export const others = (id, asked, signal) => told(`${place(id)}/others`, asked, signal);
export const show = async (id, asked, signal) =>
  createImageBitmap(await (await post(`${place(id)}/show`, asked, signal)).blob());
export const file = (path, signal) => ask(path, {signal});

/** Makes a ZIP of all; `onDone` is told how far it is. Returns {id, failed}. */
export async function archive(onDone, signal) {
  const lines = (await post("session/archives", {}, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "", last = {error: ENDED};
  for (let {value, done} = await lines.read(); !done; {value, done} = await lines.read()) {
    const parts = (text + value).split("\n");
    text = parts.pop();
    for (const line of parts) {
      last = JSON.parse(line);
      if (last.of) onDone(last);
    }
  }
  if (last.id) return last;
  throw new Error(last.error ?? ENDED);
}

/** Calls `onChange` with each change, `onEnd` when the studio has ended, `onAgain` when it is back. */
export function listen(onChange, onEnd, onAgain) {
  const source = new EventSource("session/events");
  let opened = false;
  source.onopen = () => { if (opened) onAgain(); opened = true; };
  source.onmessage = (event) => {
    const change = JSON.parse(event.data);
    if (change.ended) onEnd(); else onChange(change);
  };
  source.onerror = async () => { if (!await lives()) onEnd(); };
}
