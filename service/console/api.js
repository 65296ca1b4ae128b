// Calls the service's API: JSON in and out (metrics are text). Problems become errors; a missing key is asked for.

import { byId } from "./dom.js";

const KEY = "kindred-key";

/** An error answer of the service (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `the service answered ${status}`);
    this.status = status;
    this.type = body?.type;
  }
}

/** The answer to a request. Throws Problem. Where the key is missing or refused, it asks the user for one first. */
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

/** A response and its content. */
async function answered(url, request) {
  try {
    const response = await fetch(url, request);
    const type = response.headers.get("content-type") ?? "";
    return [response, type.includes("json") ? await response.json() : await response.text()];
  } catch (error) {
    // "Failed to fetch": the answer did not come, or not all of it.
    throw error instanceof TypeError ? new Error("The service does not answer.", { cause: error }) : error;
  }
}

/** Whether requests go out with a key. */
export function hasKey() {
  return Boolean(sessionStorage.getItem(KEY));
}

let asking;

/** Ask the user for a key. Calls at the same time share one dialog. */
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
        // The user can leave the dialog without a key, or with one that no header can hold: `ask` asks again.
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

/** Runs calls of which only the latest counts; it aborts an earlier one that still waits. */
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
