// Whether the book answers this browser. Beyond loopback it takes a token, once, for a session that ends by itself.

class Session {
  ended = $state(false); // the book asks for a token

  // Only over TLS there is one to end.
  get canEnd() {
    return location.protocol === "https:";
  }

  // Shows the token. Null: taken, and the page begins anew at its address; else why not, in words.
  async begin(token: string): Promise<string | null> {
    let answer: Response;
    try {
      answer = await fetch("/login", { method: "POST", body: new URLSearchParams({ token: token.trim() }), redirect: "manual" });
    } catch {
      return "The book does not answer. Nothing was lost: try again.";
    }
    if (answer.type === "opaqueredirect") {
      location.reload();
      return null;
    }
    if (answer.status === 401) return "This token is not known here, has expired or was taken back.";
    return `The book answered ${answer.status}.`;
  }

  async end(): Promise<void> {
    await fetch("/logout", { method: "POST", redirect: "manual" }).catch(() => undefined);
    this.ended = true;
  }
}

export const session = new Session();
