// What test_browser.py asks of a page. It sends this file with each question.
const all = (what) => [...document.querySelectorAll(what)];

// The kernel of the notebook that JupyterLab shows has nothing to do.
const idle = () =>
  window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === "idle";

const runAll = () =>
  jupyterapp.commands.execute("notebook:run-all-cells").then(() => (window.ran = true));

// Kernels with TensorFlow take much memory.
const shutDown = () => jupyterapp.shell.currentWidget.sessionContext.shutdown();

const scrollTo = (share) => {
  const page = document.querySelector(".jp-Notebook .jp-WindowedPanel-outer");
  page.scrollTop = share * (page.scrollHeight - page.clientHeight);
};

const text = () => document.querySelector(".jp-Notebook").innerText;
// Also of cells that are folded, which have no prompt on the page.
const counts = () =>
  jupyterapp.shell.currentWidget.content.widgets
    .filter((each) => each.model.type === "code")
    .map((each) => each.model.executionCount);
const players = () => all(".jp-Notebook audio").map((each) => each.duration);
const pictures = () => all(".jp-Notebook img").map((each) => each.naturalWidth && each.src);

// Whether what a control was moved for is there.
const remember = () => (window.before = pictures());
const isNew = () =>
  pictures().length === window.before.length &&
  pictures().some((each, k) => each && each !== window.before[k]);

// Also those in the outputs of widgets.
const errors = () =>
  all("[data-mime-type$=stderr], [data-mime-type$=error]").map((each) => each.innerText);

// The button of FileUpload clicks an input that is in no page, where Selenium does not find it.
const upload = () => {
  HTMLInputElement.prototype.click = function () {
    document.body.append(this);
  };
  const button = document.querySelector(".widget-upload");
  button.scrollIntoView();
  button.click();
};

// What a reader cannot see, or must scroll sideways for, other than tables, code, formulas.
const cutOff = () => {
  const width = document.documentElement.clientWidth;
  const wide = "pre, table, .formula";
  const overflow = (each) => getComputedStyle(each).overflowX;
  const scrolls = (each) =>
    each && (/auto|scroll/.test(overflow(each)) || scrolls(each.parentElement));
  const isWrong = (each) => {
    const tooWide = each.scrollWidth > each.clientWidth + 1;
    const beyond = each.getBoundingClientRect().right > width + 1;
    const mayScroll = each.closest(wide) || each.querySelector(wide);
    return (
      (beyond && !scrolls(each.parentElement)) ||
      (tooWide && /hidden|clip/.test(overflow(each))) ||
      (tooWide && /auto|scroll/.test(overflow(each)) && !mayScroll) ||
      (each.matches("img") && !each.naturalWidth)
    );
  };
  return all("article *, .prev-next-area *")
    .filter((each) => each.offsetWidth && isWrong(each))
    .map((each) => each.outerHTML.slice(0, 200));
};

const isScrolledSideways = () =>
  document.documentElement.scrollWidth > document.documentElement.clientWidth;

const loadedFromNetwork = () =>
  performance.getEntriesByType("resource").map((each) => each.name).filter((each) => /^http/.test(each));

// The links of a page of results of the search.
const found = () => all("#search-results li a").map((each) => each.href);

const links = () => all("a[href^='file:']").map((each) => each.pathname);
