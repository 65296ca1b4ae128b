// The service's API: JSON in and out (metrics come as text), problems as errors, a key where one is asked for.

import { byId } from "./dom.js";

const KEY = "kindred-key";

/** What the service answers in place of a result (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `the service answered ${status}`);
    this.status = status;
    this.type = body?.type;
  }
}

/** The answer to a request. Raises Problem; where a key is missing or of no use, it is asked for first. */
export async function ask(method, path, { query, body, signal } = {}) {
  const url = query ? `${path}?${new URLSearchParams(query)}` : path;
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = {};
    if (key) headers.Authorization = `Bearer ${key}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const [response, content] = await answered(url, { method, headers, body: sent, signal, credentials: "omit" });
    if (response.ok) return content;
    const problem = new Problem(response.status, content);
    if (response.status !== 401) throw problem;
    // Another request may have asked for a key meanwhile.
    if (sessionStorage.getItem(KEY) === key) await askForKey(key ? problem.message : "");
  }
}

/** An answer and what it holds. */
async function answered(url, request) {
  try {
    const response = await fetch(url, request);
    const type = response.headers.get("content-type") ?? "";
    return [response, type.includes("json") ? await response.json() : await response.text()];
  } catch (error) {
    // "Failed to fetch": that nothing came, or not all of it.
    throw error instanceof TypeError ? new Error("The service does not answer.", { cause: error }) : error;
  }
}

/** Whether requests go out with a key. */
export function hasKey() {
  return Boolean(sessionStorage.getItem(KEY));
}

let asking;

/** Let the user give a key; those who ask at the same time wait for the same one. */
function askForKey(reason) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("key");
    const problem = byId("key-problem");
    problem.textContent = reason;
    problem.hidden = !reason;
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener(
      "close",
      () => {
        // The dialog can be left without a key, or with what no header can hold: then it is asked for again.
        const given = byId("key-value");
        sessionStorage.setItem(KEY, given.checkValidity() ? given.value.trim() : "");
        given.value = "";
        asking = undefined;
        resolve();
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}

/** Calls of which only the last counts: an earlier one that still waits is given up. */
export function latest() {
  let controller;
  return async (call) => {
    controller?.abort();
    const own = (controller = new AbortController());
    try {
      const result = await call(own.signal);
      return own.signal.aborted ? undefined : result;
    } catch (error) {
      if (own.signal.aborted) return undefined;
      throw error;
    }
  };
}
