from docs.results_page.page import main

main()
