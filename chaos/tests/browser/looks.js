// How every page looks to whom: on a phone, in the dark, by the keyboard alone, without a script, and after a night.
'use strict';

// Text whose colour is too close to what lies behind it, after WCAG AA. Runs in the page.
function faint() {
  const channels = (colour) => { const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number); return { rgb: [r, g, b], a }; };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, a } = channels(getComputedStyle(at).backgroundColor);
      if (a === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((value) => { const part = value / 255; return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Map();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest('.skip, svg, progress, option')) continue;
    const [one, other] = [light(channels(getComputedStyle(element).color).rgb), light(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) found.set(`${element.tagName}.${element.className}`, `${ratio.toFixed(2)} "${texts.currentNode.data.trim().slice(0, 30)}"`);
  }
  return Array.from(found, (pair) => pair.join(' '));
}

// Every page in both colours, and on the narrowest phone.
async function fit({ context, open, demand, picture, pictures }, visit, paths) {
  for (const [colorScheme, width] of [['light', 1280], ['dark', 1280], ['light', 320]]) {
    const made = await context(visit, { viewport: { width, height: 900 }, colorScheme });
    for (const path of paths) {
      const page = await open(made, path);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      demand(wide <= 0, `${path} is ${wide} pixels wider than a window of ${width}`);
      for (const one of await page.evaluate(faint)) demand(false, `${path} in ${colorScheme}: hard to read: ${one}`);
      const back = await page.evaluate(() => Number(getComputedStyle(document.documentElement).backgroundColor.match(/\d+/)[0]));
      demand(colorScheme === 'dark' ? back < 60 : back > 200, `${path} is not ${colorScheme}: ${back}`);
      const foreign = await page.$$eval('main :is(img, iframe, object, script)', (all) => all.length);
      demand(foreign === 0 && (await page.evaluate(() => window.pwned)) === undefined, `${path}: somebody's words became a part of the page`);
      if (pictures) await page.screenshot({ path: `${pictures}/all${path.replace(/\W+/g, '_').slice(0, 20)}-${colorScheme}-${width}.png`, fullPage: true });
      if (path === '/' && width === 1280) await picture(page, `home-${colorScheme}`);
      await page.close();
    }
    await made.close();
  }
}

// What has the focus: its words, and whether it is seen to have it.
const focused = () => {
  const at = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(at);
  const words = at.getAttribute('aria-label') || at.name || at.textContent.trim().replace(/\s+/g, ' ');
  return { words, tag: at.tagName, isSeen: outlineStyle !== 'none' && parseFloat(outlineWidth) > 0 };
};

// Goes on by the tab key until this has the focus; everything that had it on the way.
async function tabTo(page, words, demand) {
  const passed = [];
  for (let turn = 0; turn < 120; turn += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(focused);
    passed.push(at.words);
    demand(at.isSeen || at.tag === 'BODY', `${page.url()}: the focus on "${at.words}" is not seen`);
    if (at.words === words) return passed;
  }
  demand(false, `${page.url()}: the tab key never comes to "${words}", only to ${passed.join(', ')}`);
  return passed;
}

// From the top of a page to its content, along its navigation and into its search.
async function keyboard({ context, open, demand }, visit) {
  const made = await context(visit);
  const page = await open(made, '/queue');
  const places = ['Overview', 'Queue', 'Rounds', 'Nodes', 'Routines', 'Monitors', 'Alerts', 'Trends', 'Report'];
  const first = await tabTo(page, 'Skip to the content', demand);
  demand(first.length === 1, 'the first thing on a page is not the way past its head');
  const passed = await tabTo(page, 'node', demand);
  const order = places.map((name) => passed.indexOf(name));
  demand(order.every((at, place) => at >= 0 && (place === 0 || at > order[place - 1])), `the tab key goes ${passed.join(', ')}`);
  await page.keyboard.type('no-such-node');
  await page.waitForFunction(() => document.querySelectorAll('#queue tbody tr').length === 0);
  await page.reload();
  await tabTo(page, 'Skip to the content', demand);
  await page.keyboard.press('Enter');
  demand(page.url().endsWith('#main'), 'the way past the head leads elsewhere');
  await page.goto(page.url().split('?')[0].replace('/queue', '/nodes'));
  await tabTo(page, 'Rounds', demand);
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/rounds$/);
  await made.close();
}

// Thousands of updates, as a night brings them: rows come and go, words change, logs grow. What the browser keeps stays as it was.
async function night({ context, open, live, demand }, visit, runPath) {
  const made = await context(visit);
  for (const [path, table] of [['/', 'board'], [runPath, 'run-facts']].filter(([path]) => path)) {
    const page = await open(made, path);
    await live(page);
    await page.waitForFunction(() => window.parts);
    const devtools = await made.newCDPSession(page);
    await devtools.send('Performance.enable');
    const kept = async () => {
      for (let turn = 0; turn < 3; turn += 1) await devtools.send('HeapProfiler.collectGarbage');
      const { metrics } = await devtools.send('Performance.getMetrics');
      return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
    };
    const pass = (turns) => page.evaluate(([turns, table]) => {
      const say = (kind, data) => window.stream.dispatchEvent(new MessageEvent(kind, { data, lastEventId: '1:1' }));
      const template = document.createElement('template');
      for (let turn = 0; turn < turns; turn += 1) {
        template.innerHTML = window.parts;
        const body = template.content.querySelector(`#${table} tbody, #${table} ol`);
        for (let more = 0; body && body.lastElementChild && more < turn % 10; more += 1) {
          const row = body.lastElementChild.cloneNode(true);
          row.id = `x-${(turn + more) % 60}`;
          row.firstElementChild.textContent = `turn ${turn}`;
          body.prepend(row);
        }
        const whole = document.createElement('div');
        whole.append(template.content);
        say('parts', whole.innerHTML);
        // A log is laid out anew whenever it grows, so it grows by many lines at once.
        if (turn % 50 === 0) say('log', `<div class="t-warn">WARN ${turn}</div>`.repeat(500));
      }
      say('parts', window.parts);
      return document.querySelectorAll('#log > div').length;
    }, [turns, table]);
    await pass(300);
    const before = await kept();
    const lines = await pass(2000);
    const after = await kept();
    const grown = (name) => after[name] - before[name];
    demand(lines <= 2000, `${path}: the log has ${lines} lines`);
    demand(grown('Nodes') <= 200, `${path}: ${grown('Nodes')} nodes more after 2000 updates`);
    demand(grown('JSEventListeners') <= 5, `${path}: ${grown('JSEventListeners')} listeners more after 2000 updates`);
    demand(grown('JSHeapUsedSize') <= 1e6, `${path}: ${grown('JSHeapUsedSize')} bytes more after 2000 updates`);
    await page.close();
  }
  await made.close();
}

// Without any script the same forms do the same.
async function withoutScript({ base, context, open, demand }, visit) {
  const made = await context(visit, { javaScriptEnabled: false });
  const page = await open(made, '/routines/nightly');
  await page.selectOption('select[name=node]', 'web-1');
  await page.click('text=Start a round');
  demand(/\/rounds\//.test(page.url()), 'without a script the form leads nowhere');
  for (let turn = 0; turn < 120 && !(await page.$('#round-head .tag:has-text("converged")')); turn += 1) {
    await page.waitForTimeout(500);
    await page.reload();
  }
  demand(await page.$('#round-head .tag:has-text("converged")'), 'without a script the verdict never came');
  await page.goto(`${base}/queue?node=WEB-1&type=backup`);
  demand((await page.$$('#queue tbody tr')).length > 0, 'without a script the filter finds nothing');
  await made.close();
}

module.exports = { fit, keyboard, night, tabTo, withoutScript };
