// Asking the service: JSON in, JSON out, and every failure an object of {error, expected, do}.

const BASE = "/api/v1";
const MOST_TRIES = 3;

export class Refused extends Error {
  constructor(status, body) {
    super(body.error);
    Object.assign(this, { status, error: body.error, expected: body.expected || "", do: body.do || "", body });
  }
}

/** The answer of the service to a request. A session that is over leads to the login and back; where the service is busy it is asked again. */
export async function ask(path, options = {}) {
  for (let tried = 1; ; tried += 1) {
    const answer = await fetch(BASE + path, { credentials: "same-origin", ...options }).catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, { error: "the service does not answer", expected: "an answer", do: "check that it is running, then try again" });
    });
    if (answer.ok) return answer.status === 204 ? null : answer.json();
    if (answer.status === 401) toLogin();
    if (answer.status === 429 && tried < MOST_TRIES) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(Number(answer.headers.get("Retry-After")) || 1, 5)));
      continue;
    }
    throw new Refused(answer.status, await bodyOf(answer));
  }
}

async function bodyOf(answer) {
  const body = await answer.json().catch(() => null);
  return body && body.error ? body : { error: `the service answered ${answer.status} ${answer.statusText}`, do: "try again" };
}

function toLogin() {
  const back = location.pathname + location.search;
  location.assign(`/login?next=${encodeURIComponent(back)}`);
}

/** A request that replaces the one before: only the newest answer counts. */
export function newest() {
  let running = null;
  return async (path, options = {}) => {
    running?.abort();
    const own = (running = new AbortController());
    const found = await ask(path, { ...options, signal: own.signal });
    if (own.signal.aborted) throw new DOMException("replaced", "AbortError");
    return found;
  };
}
