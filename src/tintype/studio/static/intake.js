// Photographs that are dropped, pasted or chosen.

const ENDINGS = /\.(jpe?g|jpe|jfif|png|webp|tiff?|avif|bmp|jp2|jpx|jpf|j2k|j2c|jpc|gif|heic|heif|hif)$/i;

export const looksLikePhoto = (file) => ENDINGS.test(file.name) || file.type.startsWith("image/");

/** All files of what was dropped, those in folders too. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.map(walk))).flat();
}

async function walk(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader(), found = [];
  for (;;) {  // a reader gives a hundred at a time
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return found;
    found.push(...(await Promise.all(some.map(walk))).flat());
  }
}

/** Listens for files everywhere; `take(files, all)` gets them, `all` where the person chose each. */
export function listen(take) {
  const desk = document.getElementById("desk");
  for (const type of ["dragenter", "dragover"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      desk.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) desk.classList.remove("over");
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    desk.classList.remove("over");
    const folders = [...event.dataTransfer.items].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
    take(await dropped(event.dataTransfer), !folders);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) take(files, true);
  });
  const files = document.getElementById("files"), folder = document.getElementById("folder");
  const on = (id, input) => document.getElementById(id).addEventListener("click", () => input.click());
  on("add", files);
  on("choose", files);
  on("add-folder", folder);
  for (const input of [files, folder]) {
    input.addEventListener("change", () => {
      take([...input.files], input === files);
      input.value = "";
    });
  }
}
