// Keeps a page's live parts as the coordinator says. Everything works without it; this only saves the reload.
// One stream a page: each message holds rendered parts, found again by their ids and morphed in place, so that focus, selection
// and scroll stay. A hidden tab closes its stream, and one that is shown again begins with everything afresh: nothing piles up.
(() => {
  'use strict';
  const LINES_MAX = 2000;
  const RETRY_MS_MIN = 2000;
  const RETRY_MS_MAX = 60000;
  const state = document.getElementById('live-state');
  const button = document.getElementById('live-pause');
  const log = document.getElementById('log');
  const goodbye = document.getElementById('over');
  let source = null;
  let paused = false;
  let retryMs = RETRY_MS_MIN;
  let timer = 0;
  let logOffset = log ? log.dataset.offset : '';

  const say = (word, text) => {
    if (!state) return;
    state.dataset.state = word;
    state.textContent = text;
  };

  function morph(from, to) {
    if (from.nodeName !== to.nodeName || from.nodeType !== to.nodeType) {
      from.replaceWith(to);
      return;
    }
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    // What is marked so the browser has already.
    if (to.hasAttribute('data-keep') || from.isEqualNode(to)) return;
    for (const name of from.getAttributeNames()) {
      // What a person opened stays open.
      if (!to.hasAttribute(name) && name !== 'open') from.removeAttribute(name);
    }
    for (const name of to.getAttributeNames()) {
      if (from.getAttribute(name) !== to.getAttribute(name)) from.setAttribute(name, to.getAttribute(name));
    }
    // What a person is typing is theirs.
    if (from.nodeName === 'INPUT' || from.nodeName === 'SELECT' || from.nodeName === 'TEXTAREA') return;
    const known = new Map();
    for (const child of from.children) if (child.id) known.set(child.id, child);
    let place = from.firstChild;
    for (const next of Array.from(to.childNodes)) {
      const same = next.id ? known.get(next.id) : null;
      if (same) {
        if (same !== place) from.insertBefore(same, place);
        place = same.nextSibling;
        morph(same, next);
      } else if (place && !place.id && !next.id) {
        const old = place;
        place = place.nextSibling;
        morph(old, next);
      } else {
        from.insertBefore(next, place);
      }
    }
    while (place) {
      const old = place;
      place = place.nextSibling;
      old.remove();
    }
  }

  function take(html) {
    const template = document.createElement('template');
    template.innerHTML = html;
    for (const part of Array.from(template.content.children)) {
      const target = part.id && document.getElementById(part.id);
      if (target) morph(target, part);
    }
  }

  function append(html) {
    if (!log) return;
    const stuck = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const template = document.createElement('template');
    template.innerHTML = html;
    log.hidden = false;
    log.append(template.content);
    while (log.childElementCount > LINES_MAX) log.firstElementChild.remove();
    if (stuck) log.scrollTop = log.scrollHeight;
  }

  function close() {
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  }

  // Who was logged out, here or elsewhere, is told so: what the page shows is no longer kept fresh.
  function over() {
    close();
    say('over', 'logged out');
    if (!goodbye) return;
    goodbye.querySelector('a').href = '/login?next=' + encodeURIComponent(location.pathname + location.search);
    goodbye.hidden = false;
  }

  function later() {
    timer = setTimeout(open, retryMs);
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
  }

  function open() {
    close();
    if (paused || document.hidden) return;
    const query = new URLSearchParams({ page: location.pathname + location.search });
    if (logOffset) query.set('log', logOffset);
    source = new EventSource('/events?' + query);
    source.addEventListener('open', () => { retryMs = RETRY_MS_MIN; say('on', 'live'); if (goodbye) goodbye.hidden = true; });
    source.addEventListener('over', over);
    source.addEventListener('parts', (event) => take(event.data));
    source.addEventListener('log', (event) => { logOffset = event.lastEventId.split(':')[1] || logOffset; append(event.data); });
    source.addEventListener('error', () => {
      say('off', 'reconnecting');
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        // A refusal says nothing of its reason here, so the page itself is asked for.
        fetch(location.href, { method: 'HEAD' }).then((told) => { if (told.status === 401) over(); else later(); }, later);
      }
    });
  }

  if (button) {
    button.hidden = false;
    button.addEventListener('click', () => {
      paused = !paused;
      button.setAttribute('aria-pressed', String(paused));
      button.textContent = paused ? 'Resume' : 'Pause';
      if (paused) { close(); say('paused', 'paused'); } else { open(); }
    });
  }

  // A search takes effect while it is typed: the stream begins again with other words.
  const form = document.querySelector('form[data-live]');
  if (form) {
    let typed = 0;
    const apply = () => {
      const query = new URLSearchParams();
      for (const [name, value] of new FormData(form)) if (value) query.set(name, value);
      const text = query.toString();
      history.replaceState(null, '', location.pathname + (text ? '?' + text : ''));
      if (paused) form.requestSubmit(); else open();
    };
    form.addEventListener('input', () => { clearTimeout(typed); typed = setTimeout(apply, 200); });
  }

  if (log) log.scrollTop = log.scrollHeight;
  document.addEventListener('visibilitychange', () => { if (document.hidden) { close(); } else { open(); } });
  window.addEventListener('pagehide', close);
  window.addEventListener('pageshow', (event) => { if (event.persisted) open(); });
  open();
})();
