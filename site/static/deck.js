// On a phone held upright a slide is as tall as the phone, and its words are larger.
const upright = matchMedia("(max-width: 600px) and (orientation: portrait)");
const size = () => (upright.matches ? { width: 600, height: 1000 } : { width: 1280, height: 720 });
upright.onchange = () => Reveal.configure(size());
Reveal.initialize({
  ...size(),
  margin: 0.03,
  center: false,
  hash: true,
  slideNumber: "c/t",
  transition: "none",
  pdfSeparateFragments: false,
  pdfMaxPagesPerSlide: 1,
  plugins: [RevealNotes],
});
