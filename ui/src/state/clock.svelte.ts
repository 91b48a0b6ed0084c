// One clock for every "9 s ago" on the page: it ticks once a second, so nothing changes between.

class PageClock {
  now = $state(Date.now());
  constructor() {
    setInterval(() => (this.now = Date.now()), 1000);
  }
}

export const pageClock = new PageClock();
