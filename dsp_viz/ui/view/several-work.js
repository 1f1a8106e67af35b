// Uploads and analyses pictures one after the other, until all are done or somebody stops it.

import { nextOf } from "./several-strip.js";

/** @typedef {import("./several-strip.js").Entry} Entry */
/** @typedef {import("./several-strip.js").Told} Told */
/** @typedef {{ model: string, side: number, whole: boolean }} How pictures are analysed */

/** Another try of this picture, or of the next, would not help: somebody has to look. */
export class Halt extends Error {}

const AWAY = "The server does not answer. Is it still running?";
const BUSY = 3000; // ms between two tries where many ask

/** @param {string} path @param {RequestInit} request */
async function posted(path, request) {
  const answer = await fetch(new URL(path, document.baseURI), { method: "POST", ...request }).catch((error) => {
    throw request.signal?.aborted ? error : new Halt(AWAY);
  });
  return answer;
}

/** @param {AbortSignal} signal */
const pause = (signal) =>
  new Promise((done) => {
    const timer = setTimeout(done, BUSY);
    signal.addEventListener("abort", () => (clearTimeout(timer), done(null)));
  });

/**
 * Where the server has put a file.
 *
 * @param {File} file @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
async function uploaded(file, signal) {
  const body = new FormData();
  body.append("files", file, file.name.split("/").pop());
  const answer = await posted("gradio_api/upload", { body, signal });
  if (answer.status === 507) throw new Halt(await answer.text());
  if (!answer.ok) throw new Error(`It could not be uploaded (${answer.status}).`);
  return (await answer.json())[0];
}

/**
 * What the server says of one picture.
 *
 * @param {Entry} entry @param {How} how @param {AbortSignal} signal @param {(doing: string) => void} tell
 * @returns {Promise<Told>}
 */
export async function analysed(entry, how, signal, tell) {
  for (let sent = false; ;) {
    if (entry.file && !entry.upload) {
      tell("uploading");
      entry.upload = await uploaded(entry.file, signal);
      sent = true;
    }
    tell("analysing");
    const body = JSON.stringify({ ...how, example: entry.example, upload: entry.upload });
    const answer = await posted("several", { body, signal, headers: { "Content-Type": "application/json" } });
    if (answer.status === 503) {
      tell("waiting, as many ask at the moment:");
      await pause(signal);
      signal.throwIfAborted();
      continue;
    }
    if (!answer.ok) throw new Halt((await answer.text()).slice(0, 300));
    const told = await answer.json();
    if (!told.fault) return told;
    if (!told.gone || !entry.file || sent) throw new Error(told.fault);
    entry.upload = null; // it is no longer kept: once more
  }
}

/**
 * Analyses what waits, in order.
 *
 * @param {Entry[]} entries @param {How} how @param {AbortSignal} signal
 * @param {{ doing: (entry: Entry, what: string) => void, done: (entry: Entry) => void }} news
 */
export async function work(entries, how, signal, { doing, done }) {
  for (let entry = nextOf(entries); entry && !signal.aborted; entry = nextOf(entries)) {
    const own = entry;
    try {
      const told = await analysed(own, how, signal, (what) => doing(own, what));
      if (signal.aborted) return;
      Object.assign(own, { told, state: "done" });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Halt) throw error;
      Object.assign(own, { state: "failed", fault: error instanceof Error ? error.message : String(error) });
    }
    done(own);
  }
}
