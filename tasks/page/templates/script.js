// The slider moves the cut; a button puts its picture on the right of the cut.
for (const card of document.querySelectorAll(".compare")) {
  const stage = card.querySelector(".stage");
  const over = card.querySelector(".over");
  const range = card.querySelector("input");
  const buttons = card.querySelectorAll("button");
  card.querySelector(".copy").src = over.src; // embedded once
  const cut = () => stage.style.setProperty("--cut", range.value + "%");
  range.addEventListener("input", cut);
  cut();
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", other === button);
      over.src = button.querySelector("img").src;
    });
  }
}
