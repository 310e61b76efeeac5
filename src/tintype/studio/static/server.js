// What the page asks of the server.

async function checked(response) {
  if (response.ok) return response;
  let detail = `${response.status} ${response.statusText}`;
  try { detail = (await response.json()).detail ?? detail; } catch { /* no sentence */ }
  throw new Error(detail);
}

async function post(path, record) {
  const body = JSON.stringify(record ?? {});
  return checked(await fetch(path, {method: "POST", body, headers: {"Content-Type": "application/json"}}));
}

export const everything = async () => (await checked(await fetch("session"))).json();

export const upload = async (file, signal) => (await checked(await fetch(
  `session/photos?name=${encodeURIComponent(file.name || "pasted.png")}`,
  {method: "POST", body: file, signal},
))).json();

const place = (id) => `session/photos/${id}`;

export const remove = async (id) => checked(await fetch(place(id), {method: "DELETE"}));
export const cancel = (id) => post(`${place(id)}/cancel`);
export const again = (id) => post(`${place(id)}/again`);
export const choose = async (id, settings) => (await post(`${place(id)}/settings`, settings)).json();
export const undo = async (id) => (await post(`${place(id)}/undo`)).json();
export const redo = async (id) => (await post(`${place(id)}/redo`)).json();
export const copy = async (id) => (await post(`${place(id)}/copy`)).json();
export const suggest = async (id, asked) => (await post(`${place(id)}/suggest`, asked)).json();
export const others = async (id, asked) => (await post(`${place(id)}/others`, asked)).json();
export const show = async (id, asked) =>
  createImageBitmap(await (await post(`${place(id)}/show`, asked)).blob());

/** Calls `onChange` with each change, `onAgain` whenever the connection was lost and is back. */
export function listen(onChange, onAgain) {
  const source = new EventSource("session/events");
  let opened = false;
  source.onopen = () => { if (opened) onAgain(); opened = true; };
  source.onmessage = (event) => onChange(JSON.parse(event.data));
}
