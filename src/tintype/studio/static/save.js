// Results, saved where the browser saves files.

import * as server from "./server.js";
import {say} from "./said.js";

function hand(href, name) {
  const link = document.createElement("a");
  link.href = href;
  link.download = name;
  link.click();
}

/** Lets somebody see that it takes a while, and stop it; says what went wrong. */
async function busily(button, words, act) {
  const stop = new AbortController();
  const cancel = {words: "Cancel", run: () => stop.abort()};
  button.setAttribute("aria-busy", "true");
  say(words, cancel, true);
  try {
    await act(stop.signal, (done) => say(done, cancel, true));
  } catch (error) {
    say(error.name === "AbortError" ? "Cancelled: nothing is saved." : error.message);
  }
  button.removeAttribute("aria-busy");
}

/** Saves what a link leads to. */
export const one = (link) => busily(link, "Making the file …", async (signal) => {
  const answer = await server.file(link.href, signal);
  const name = decodeURIComponent(answer.headers.get("Content-Disposition").split("UTF-8''")[1]);
  const href = URL.createObjectURL(await answer.blob());
  hand(href, name);
  setTimeout(() => URL.revokeObjectURL(href), 60000);
  say([`${name} is saved.`, ...JSON.parse(answer.headers.get("Tintype-Notes") ?? "[]")].join(" Note: "));
});

/** Saves all photographs as a ZIP. */
export const all = (button) => busily(button, "Making the ZIP …", async (signal, tell) => {
  const {id, failed} = await server.archive(({done, of}) => tell(`Making the ZIP: ${done} of ${of}`), signal);
  hand(`session/archives/${id}`, "");
  say(failed.length ? `The ZIP is saved without ${failed.length}: ${failed.join("; ")}. failed.txt in it lists them.` : "The ZIP is saved.");
});
